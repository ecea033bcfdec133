//! Tool servers: child MCP servers that do part of the work with a lease and nothing else.
//!
//! [`ToolServers`] is what is configured, for the whole process. [`Children`] are the processes of
//! one session, one for each tool server and scope, started when first needed, and gone with it.
//!
//! ```text
//! Children ─▶ launcher (environment, home) ─▶ process (group, end)
//!     │           └─▶ endpoint (the lease)
//!     └─────▶ proxy (MCP over its pipes)
//! ```

mod answer;
mod catalogue;
mod children;
mod command_line;
mod deaths;
mod endpoint;
mod error;
mod last_words;
mod launcher;
mod manifest;
mod process;
mod proxy;

pub use self::{
    catalogue::{ServedTool, ToolServers},
    children::Children,
    error::ToolServerError,
    launcher::LaunchError,
    manifest::{Credentials, Manifest},
};
