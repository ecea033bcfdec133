//! Tests through the front door: the real binary over real pipes, the real Python tool servers, an
//! AWS emulator that enforces signatures, roles and session policies. Modules are named after what
//! they prove. What they need is installed into the user's cache folder, once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    clippy::format_push_string,
    clippy::unnecessary_wraps,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and start what they test"
)]

mod support;

mod audit;
mod children;
mod clients;
mod configuration;
mod delivery;
mod demo;
mod diagnosis;
mod errors;
mod isolation;
mod lifecycle;
mod no_leak;
mod policy;
mod renewal;
mod schemas;
mod six_tools;
mod stdio;
mod tool_servers;
