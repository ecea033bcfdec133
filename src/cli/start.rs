//! What commands that work with a configuration have in common.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::{
    config::{Config, environment},
    enforcement::Shared,
    principal::Principal,
    telemetry::{self, LogFormat},
};

#[derive(Debug, Args)]
pub(super) struct Start {
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

impl Start {
    /// Starts logging and reads the configuration.
    pub(super) fn shared(&self) -> Result<Shared, Failure> {
        let level = match (self.log_level, environment::text("SUBROSA_LOG")) {
            (Some(level), _) => level,
            (None, Some(text)) => text.parse().map_err(|_| {
                Failure::user("SUBROSA_LOG is not a log level: error, warn, info or debug")
            })?,
            (None, None) => LevelFilter::WARN,
        };
        telemetry::start(level, self.log_format);
        let config = Config::load(self.config.as_deref()).map_err(Failure::user)?;
        Shared::new(config).map_err(Failure::user)
    }

    /// Who works here.
    pub(super) fn principal() -> Principal {
        let name = environment::text("USER").or_else(|| environment::text("LOGNAME"));
        Principal::local(name)
    }

    /// The runtime to work on.
    pub(super) fn runtime() -> Result<Runtime, Failure> {
        Builder::new_current_thread().enable_all().build().map_err(Failure::internal)
    }
}
