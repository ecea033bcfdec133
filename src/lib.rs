//! **subrosa**: an MCP server that lets LLM agents work on cloud accounts without ever seeing a
//! credential.
//!
//! The modules, from the outside in. None uses what stands above it.
//!
//! | | |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`server`] | MCP over stdio: the only room that knows JSON-RPC errors |
//! | [`enforcement`] | the way of every call, in one screen |
//! | [`policy`] [`broker`] [`native`] [`toolserver`] [`audit`] | what it goes through |
//! | [`ecs`] [`aws`] [`stack_job`] | what the native tools know |
//! | [`redact`] | what must not come out |
//! | [`config`] | what the operator wants |
//! | [`session`] [`lease`] [`secret`] [`call`] [`principal`] | what is passed along |
//! | [`frame`] [`name`] [`clock`] [`ids`] [`parse_error`] [`telemetry`] [`shutdown`] | what all of them use |

pub mod audit;
pub mod aws;
pub mod broker;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod ecs;
pub mod enforcement;
pub mod frame;
pub mod ids;
pub mod lease;
pub mod name;
pub mod native;
pub mod parse_error;
pub mod policy;
pub mod principal;
pub mod redact;
pub mod secret;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod stack_job;
pub mod telemetry;
pub mod toolserver;
