//! The `subrosa` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    subrosa::cli::main()
}
