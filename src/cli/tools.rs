//! `subrosa tools`.

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failure, Start, say};
use crate::{enforcement::Enforcement, name::ServerName, session::Session};

#[derive(Debug, Subcommand)]
pub(super) enum Tools {
    /// List the tool servers that are switched on, and how many tools each has.
    List {
        #[command(flatten)]
        start: Start,
    },
    /// Start a tool server and write down its tools, so that they are listed before it runs.
    Record {
        #[command(flatten)]
        start: Start,
        /// The tool server.
        server: ServerName,
        /// Where to write `<server>.tools.json`: the folder of your manifests (tools.dir).
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
}

impl Tools {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { start } => list(&start),
            Self::Record { start, server, out } => record(&start, &server, out),
        }
    }
}

fn list(start: &Start) -> Result<(), Failure> {
    let shared = start.shared()?;
    let servers = shared.servers();
    for (name, manifest) in
        servers.names().iter().filter_map(|name| Some((name, servers.manifest(name)?)))
    {
        let tools = match servers.tools(name) {
            Some(tools) => format!("{} tools", tools.len()),
            None => String::from("tools not recorded"),
        };
        say(&format!("{name}: {}\n    {} ({tools})", manifest.description(), manifest.command()))?;
        let (hosts, folders) = manifest.sandbox();
        say(&format!("    needs hosts {hosts:?} and folders {folders:?}"))?;
    }
    Ok(())
}

fn record(start: &Start, server: &ServerName, mut out: PathBuf) -> Result<(), Failure> {
    let shared = Arc::new(start.shared()?);
    let session = Arc::new(Session::open(Start::principal()));
    let tools = Start::runtime()?.block_on(async {
        let enforcement = Enforcement::open(Arc::clone(&shared), session).map_err(Failure::user)?;
        let discovered = enforcement.discover(server).await;
        enforcement.close("tools record").await;
        discovered.map_err(|problem| Failure::user(format!("`{server}`: {problem}")))?;
        shared
            .servers()
            .tools(server)
            .ok_or_else(|| Failure::user(format!("`{server}` told no tools")))
    })?;
    let tools: Vec<Value> = tools.iter().map(|tool| json!(tool.definition)).collect();
    let mut text =
        serde_json::to_string_pretty(&json!({"tools": tools})).map_err(Failure::internal)?;
    text.push('\n');
    out.push(format!("{server}.tools.json"));
    std::fs::write(&out, text)
        .map_err(|error| Failure::user(format!("failed to write {}: {error}", out.display())))?;
    say(&format!("{}: {} tools", out.display(), tools.len()))
}
