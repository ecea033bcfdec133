//! `subrosa audit`.

use std::{fs::File, io::BufReader, path::PathBuf};

use clap::Subcommand;

use super::{Failure, say};
use crate::audit::verify;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that no record was edited, removed or moved.
    Verify {
        /// The audit log. Exit code 0: intact; 2: not, and stderr says where.
        file: PathBuf,
    },
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Verify { file } = self;
        let place = file.display();
        let log = File::open(&file)
            .map_err(|error| Failure::user(format!("failed to open {place}: {error}")))?;
        let verified = verify(BufReader::new(log))
            .map_err(|broken| Failure::user(format!("{place} is not intact: {broken}")))?;
        say(&format!("{place}: {} records, chain intact", verified.records))?;
        say(&format!("head {}", verified.head))?;
        if verified.torn > 0 {
            say(&format!("{} unfinished lines of crashes, each accounted for", verified.torn))?;
        }
        Ok(())
    }
}
