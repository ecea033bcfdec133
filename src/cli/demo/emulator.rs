//! MiniStack, an emulator of AWS, on the loopback interface: signatures, roles and session
//! policies are enforced. The tests use this too.

use std::{
    fs::File,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{background::Background, python::Environment};

/// How long it may take to start.
const START: Duration = Duration::from_mins(1);

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// Something of this machine is in the way.
    #[error("failed to start the AWS emulator: {0}")]
    Io(#[from] io::Error),
    /// It ended, or was not ready in time.
    #[error("the AWS emulator did not start; it last said: {0}")]
    NotReady(String),
    /// A scenario could not be set up in it.
    #[error("failed to set up the scenario in the AWS emulator: {0}")]
    Seed(String),
}

/// A running emulator. It ends when this is dropped.
#[derive(Debug)]
pub struct Emulator {
    endpoint: String,
    python: Environment,
    process: Background,
    _folder: TempDir,
}

impl Emulator {
    /// Starts an emulator with nothing in it.
    pub async fn start(python: &Environment) -> Result<Self, EmulatorError> {
        let folder = TempDir::with_prefix("subrosa-emulator-")?;
        let log_path = folder.path().join("log");
        // A port that is free now; nobody else is likely to take it in the next moment.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(&log_path)?;
        #[expect(clippy::disallowed_methods, reason = "the demo starts its own emulator")]
        let mut command = Command::new(python.program("ministack"));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            // It listens on all interfaces unless told.
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("AUTH", "true")
            .env("MINISTACK_ACCOUNT_ID", "123456789012")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Background::spawn(&mut command)?;
        let emulator = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            python: python.clone(),
            process,
            _folder: folder,
        };
        emulator.wait_until_ready(&log_path).await?;
        Ok(emulator)
    }

    /// What to set `AWS_ENDPOINT_URL` to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The process group that it is.
    pub fn process_group(&self) -> u32 {
        self.process.group()
    }

    /// Runs a Python script in the emulator's environment, with a JSON value on its stdin, and
    /// reads the JSON value that it prints.
    pub fn run_script<T: for<'de> Deserialize<'de>>(
        &self,
        script: &str,
        input: &impl Serialize,
    ) -> Result<T, EmulatorError> {
        let seed = |error: &dyn std::fmt::Display| EmulatorError::Seed(error.to_string());
        let input = serde_json::to_vec(input).map_err(|error| seed(&error))?;
        #[expect(clippy::disallowed_methods, reason = "the demo seeds its own emulator")]
        let mut child = Command::new(self.python.program("python"))
            .args(["-I", "-c", script, &self.endpoint])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&input)?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().next_back().unwrap_or("nothing");
            return Err(EmulatorError::Seed(last.to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| seed(&error))
    }

    async fn wait_until_ready(&self, log: &Path) -> Result<(), EmulatorError> {
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(io::Error::other)?;
        let health = format!("{}/_ministack/health", self.endpoint);
        let began = Instant::now();
        loop {
            let answer = client.get(&health).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if began.elapsed() > START {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last = said.trim().lines().next_back().unwrap_or("nothing");
                return Err(EmulatorError::NotReady(last.to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
