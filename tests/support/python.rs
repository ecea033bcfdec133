//! Python environments, made once and shared by all tests.

use std::{path::PathBuf, sync::OnceLock};

use subrosa::cli::demo::{
    REQUIREMENTS,
    python::{self, Environment},
};

fn tell(message: &str) {
    eprintln!("set-up: {message}");
}

fn ensure(
    cell: &'static OnceLock<Environment>,
    name: &str,
    requirements: &str,
) -> &'static Environment {
    cell.get_or_init(|| Environment::ensure(name, requirements, &tell).unwrap())
}

/// MiniStack and awslabs.ecs-mcp-server: the demo's.
pub fn demo() -> &'static Environment {
    static CELL: OnceLock<Environment> = OnceLock::new();
    ensure(&CELL, "demo", REQUIREMENTS)
}

/// awslabs.aws-api-mcp-server.
pub fn aws_api() -> &'static Environment {
    static CELL: OnceLock<Environment> = OnceLock::new();
    ensure(&CELL, "aws-api", include_str!("../python/aws-api.txt"))
}

/// mcp-proxy-for-aws.
pub fn proxy() -> &'static Environment {
    static CELL: OnceLock<Environment> = OnceLock::new();
    ensure(&CELL, "proxy", include_str!("../python/proxy.txt"))
}

/// The MCP client of the Python SDK.
pub fn sdk() -> &'static Environment {
    static CELL: OnceLock<Environment> = OnceLock::new();
    ensure(&CELL, "sdk", include_str!("../python/sdk.txt"))
}

/// The folder of `uv` and `uvx`.
pub fn uv() -> PathBuf {
    static CELL: OnceLock<PathBuf> = OnceLock::new();
    CELL.get_or_init(|| python::uv(&tell).unwrap().parent().unwrap().to_path_buf()).clone()
}
