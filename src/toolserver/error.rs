//! Why a tool server gave no reply.

use std::time::Duration;

use super::{
    deaths::{DEATHS, LEFT_ALONE},
    launcher::LaunchError,
};
use crate::{name::ServerName, session::ContextCleared};

/// Why a tool server gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ToolServerError {
    /// It cannot be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It ended before it was ready.
    #[error("tool server `{server}` ended with {exit} before it was ready{last_words}")]
    DiedAtStart {
        /// The tool server.
        server: ServerName,
        /// How it ended.
        exit: String,
        /// What it last wrote to stderr, redacted.
        last_words: String,
    },
    /// It was not ready in time.
    #[error(
        "tool server `{server}` was not ready within {}; it was ended, and is started again with \
         the next call{last_words}",
        humantime::format_duration(*after)
    )]
    StartTimedOut {
        /// The tool server.
        server: ServerName,
        /// How long it got.
        after: Duration,
        /// What it last wrote to stderr, redacted.
        last_words: String,
    },
    /// It runs, and does not do what an MCP server does.
    #[error("tool server `{server}` runs, but {problem}{last_words}")]
    NoServer {
        /// The tool server.
        server: ServerName,
        /// What it does not do.
        problem: String,
        /// What it last wrote to stderr, redacted.
        last_words: String,
    },
    /// It ended again and again.
    #[error(
        "tool server `{server}` has ended {DEATHS} times in a row without answering, and is left \
         alone for {} seconds: look for the cause in subrosa's log, then try again",
        LEFT_ALONE.as_secs()
    )]
    KeepsDying {
        /// The tool server.
        server: ServerName,
    },
    /// It ended during the call.
    #[error(
        "tool server `{server}` ended ({exit}) while the call was under way; whether the call was \
         carried out is not known; the server is started again with the next call{last_words}"
    )]
    Died {
        /// The tool server.
        server: ServerName,
        /// How it ended.
        exit: String,
        /// What it last wrote to stderr, redacted.
        last_words: String,
    },
    /// It was ended for another call.
    #[error(
        "tool server `{server}` was ended while the call was under way, because it did not answer \
         another call, of `{tool}`, in time; whether the call was carried out is not known; the \
         next call gets a new one"
    )]
    EndedForAnother {
        /// The tool server.
        server: ServerName,
        /// The tool of the other call.
        tool: String,
    },
    /// The session was cleared during the call.
    #[error(transparent)]
    Cleared(#[from] ContextCleared),
    /// It did not answer in time.
    #[error(
        "tool server `{server}` did not answer `{tool}` within {}, the `timeout` of its manifest; \
         whether the call was carried out is not known; it was ended, and the next call gets a new \
         one",
        humantime::format_duration(*after)
    )]
    TimedOut {
        /// The tool server.
        server: ServerName,
        /// The tool.
        tool: String,
        /// How long it got.
        after: Duration,
    },
    /// Its reply is too large.
    #[error(
        "the reply of tool server `{server}` has {bytes} bytes, more than the {limit} that are \
         passed on: ask for less at once"
    )]
    TooLong {
        /// The tool server.
        server: ServerName,
        /// The size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its reply is no result of a tool call.
    #[error("tool server `{server}` answered `{tool}` with something that is no tool result")]
    Malformed {
        /// The tool server.
        server: ServerName,
        /// The tool.
        tool: String,
    },
}

impl ToolServerError {
    /// Whether it was a matter of time.
    pub fn timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::StartTimedOut { .. })
    }
}
