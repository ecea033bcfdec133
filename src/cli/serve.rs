//! `subrosa serve`.

use std::sync::Arc;

use clap::Args;

use super::{Failure, Start};
use crate::{server, shutdown};

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    start: Start,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let shared = Arc::new(self.start.shared()?);
        let runtime = Start::runtime()?;
        let served = runtime.block_on(async {
            let stop = shutdown::on_signal().map_err(Failure::internal)?;
            Box::pin(server::serve(shared, Start::principal(), stop))
                .await
                .map_err(Failure::internal)
        });
        // A reader that waits for a terminal must not hold the process.
        runtime.shutdown_background();
        served
    }
}
