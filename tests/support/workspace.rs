//! A folder of its own for a test: configuration, home, audit log, and the server started in it.

use std::{fs, path::PathBuf, process::Command};

use subrosa::audit::{Verified, verify};
use tempfile::TempDir;

use super::{
    agent::{Agent, Era},
    emulator, python,
};

/// The folder, and what the server is started with.
pub struct Workspace {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Workspace {
    /// A workspace with a configuration. The audit log is `audit.jsonl` in it.
    pub fn new(config: &str) -> Self {
        let folder = TempDir::with_prefix("subrosa-test-").unwrap();
        let config = format!("{config}\n[audit]\nfile = \"audit.jsonl\"\n");
        fs::write(folder.path().join("subrosa.toml"), config).unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder, environment: Vec::new() }
    }

    /// A workspace whose server works on the emulator, with the keys of a user, and runs the real
    /// awslabs.ecs-mcp-server.
    pub fn emulated(config: &str, keys: &emulator::Keys) -> Self {
        let server = python::demo().program("ecs-mcp-server").display().to_string();
        let config = format!("{config}\n[tools.override.ecs]\ncommand = {server:?}\n");
        let mut workspace = Self::new(&config)
            .with("AWS_ENDPOINT_URL", emulator::endpoint())
            .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
            .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
        if let Some(token) = &keys.session_token {
            workspace = workspace.with("AWS_SESSION_TOKEN", token);
        }
        workspace
    }

    /// Adds a variable to the server's environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What was added to the server's environment.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The command `subrosa`, in this workspace.
    pub fn subrosa(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            // Nobody here has a metadata service.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command
    }

    /// A server, and a client that has shaken hands with it.
    pub fn agent(&self, era: Era) -> Agent {
        Agent::start(&mut self.subrosa(&["serve", "--config", "subrosa.toml"]), era)
    }

    /// A server as most clients use it.
    pub fn serve(&self) -> Agent {
        self.agent(Era::Legacy)
    }

    /// The audit log's text.
    pub fn audit(&self) -> String {
        fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default()
    }

    /// The audit log's events, as (event, action) in order.
    pub fn audit_records(&self) -> Vec<serde_json::Value> {
        self.audit().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks the audit log's chain.
    pub fn verified(&self) -> Verified {
        verify(self.audit().as_bytes()).unwrap()
    }
}
