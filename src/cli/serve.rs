//! `subrosa serve`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::{
    config::{Config, environment},
    enforcement::{Shared, StartError},
    principal::Principal,
    server, shutdown,
    telemetry::{self, LogFormat},
};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file; else SUBROSA_CONFIG, else subrosa/subrosa.toml in the user's
    /// configuration folder, else none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged to stderr: error, warn, info, debug. Else SUBROSA_LOG, else warn.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LevelFilter>,
    /// How it is written: text or json.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    log_format: LogFormat,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let level = match (self.log_level, environment::text("SUBROSA_LOG")) {
            (Some(level), _) => level,
            (None, Some(text)) => text.parse().map_err(|_| {
                Failure::user("SUBROSA_LOG is not a log level: error, warn, info or debug")
            })?,
            (None, None) => LevelFilter::WARN,
        };
        telemetry::start(level, self.log_format);
        let config = Config::load(self.config.as_deref()).map_err(Failure::user)?;
        let shared = Shared::new(config).map_err(|error: StartError| Failure::user(error))?;
        let name = environment::text("USER").or_else(|| environment::text("LOGNAME"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::internal)?;
        let served = runtime.block_on(async {
            let stop = shutdown::on_signal().map_err(Failure::internal)?;
            Box::pin(server::serve(Arc::new(shared), Principal::local(name), stop))
                .await
                .map_err(Failure::internal)
        });
        // A reader that waits for a terminal must not hold the process.
        runtime.shutdown_background();
        served
    }
}
