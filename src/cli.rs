//! The commands. Exit code 0: done; 2: a mistake of the user's; 1: a failure of ours.

mod audit;
pub mod demo;
mod serve;
mod start;
mod tools;

use std::{fmt, process::ExitCode};

use clap::{Parser, Subcommand};

use self::start::Start;

/// Cloud credentials for LLM agents, kept sub rosa.
#[derive(Debug, Parser)]
#[command(name = "subrosa", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an MCP client on stdin and stdout.
    Serve(serve::Serve),
    /// Diagnose a failing service of an emulated AWS account, and see what a model sees of it.
    Demo(demo::Demo),
    /// Look after tool servers.
    #[command(subcommand)]
    Tools(tools::Tools),
    /// Look at audit logs.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user can mend it.
    User(String),
    /// The user cannot.
    Internal(String),
}

impl Failure {
    fn user(error: impl fmt::Display) -> Self {
        Self::User(error.to_string())
    }

    fn internal(error: impl fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Writes a command's answer to stdout. A reader that has read enough is no failure.
fn say(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write as _};
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::internal(error)),
        _ => Ok(()),
    }
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(),
        Command::Tools(tools) => tools.run(),
        Command::Audit(audit) => audit.run(),
    };
    let (message, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::User(message)) => (message, 2),
        Err(Failure::Internal(message)) => (message, 1),
    };
    #[expect(clippy::print_stderr, reason = "the command's own last word")]
    {
        eprintln!("subrosa: {message}");
    }
    ExitCode::from(code)
}
