//! The agent: an MCP client on the pipes of a `subrosa serve`, and a transcript of all that a
//! model would see.

use std::{io, path::Path, process::Stdio, time::Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

/// An MCP client.
#[derive(Debug)]
pub(super) struct Agent {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    log: JoinHandle<String>,
    next_id: u64,
    transcript: Vec<Exchange>,
    /// Every line that the server wrote, notifications too.
    wire: String,
}

/// What is left when the agent has gone.
pub(super) struct Left {
    /// The calls.
    pub(super) transcript: Vec<Exchange>,
    /// All that the server wrote to its stdout.
    pub(super) wire: String,
    /// All that it wrote to its stderr.
    pub(super) log: String,
}

/// A call and its reply.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Exchange {
    /// What the agent is about to do.
    pub(super) step: &'static str,
    /// The tool.
    pub(super) tool: String,
    /// Its arguments.
    pub(super) arguments: Value,
    /// The reply, as it came.
    pub(super) reply: Value,
    /// How long it took, in milliseconds.
    pub(super) took_ms: u128,
}

impl Exchange {
    /// The reply's text.
    pub(super) fn text(&self) -> String {
        let blocks = self.reply.pointer("/content").and_then(Value::as_array);
        let texts = blocks.into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Whether it says that something went wrong.
    pub(super) fn failed(&self) -> bool {
        self.reply.get("isError") != Some(&Value::Bool(false))
    }
}

impl Agent {
    /// Starts `subrosa serve` and shakes hands, as Claude Code does (revision 2025-11-25).
    pub(super) async fn start(config: &Path, environment: &[(&str, &str)]) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the demo starts the server")]
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--log-level", "debug", "--config"])
            .arg(config)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("a pipe is missing"));
        };
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log).await;
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut agent = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            log,
            next_id: 0,
            transcript: Vec::new(),
            wire: String::new(),
        };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "subrosa demo", "version": env!("CARGO_PKG_VERSION")},
        });
        agent.request("initialize", hello).await?;
        agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(agent)
    }

    /// Calls a tool.
    pub(super) async fn call(
        &mut self,
        step: &'static str,
        tool: &str,
        arguments: Value,
    ) -> io::Result<Exchange> {
        let began = Instant::now();
        let params = json!({"name": tool, "arguments": arguments});
        let reply = self.request("tools/call", params).await?;
        let exchange = Exchange {
            step,
            tool: tool.to_owned(),
            arguments,
            reply,
            took_ms: began.elapsed().as_millis(),
        };
        self.transcript.push(exchange.clone());
        Ok(exchange)
    }

    /// The tools that there are.
    pub(super) async fn tools(&mut self) -> io::Result<Value> {
        self.request("tools/list", json!({})).await
    }

    /// Leaves, and waits until the server has ended.
    pub(super) async fn leave(mut self) -> io::Result<Left> {
        drop(self.stdin);
        self.stdout.read_to_string(&mut self.wire).await?;
        self.child.wait().await?;
        let log = self.log.await.map_err(io::Error::other)?;
        Ok(Left { transcript: self.transcript, wire: self.wire, log })
    }

    async fn request(&mut self, method: &str, params: Value) -> io::Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).await? == 0 {
                return Err(io::Error::other("the server has closed the connection"));
            }
            self.wire.push_str(&line);
            let mut message: Value = serde_json::from_str(&line)?;
            if message.get("id") != Some(&json!(id)) {
                continue; // a notification
            }
            let answer = message.get_mut("result").map(Value::take);
            return Ok(answer.unwrap_or(message));
        }
    }

    async fn send(&mut self, message: &Value) -> io::Result<()> {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).await
    }
}
