//! An MCP client on real pipes, that keeps every byte it gets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Which protocol revision the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25: `initialize` first.
    Legacy,
    /// 2026-07-28: every request stands for itself.
    Modern,
}

/// The longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A client, and the server that it started.
pub struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    next_id: u64,
    era: Era,
    /// Messages that were no answer to what was waited for.
    pub others: Vec<Value>,
}

impl Agent {
    /// Starts a server and shakes hands.
    pub fn start(command: &mut Command, era: Era) -> Self {
        let mut agent = Self::connect(command, era);
        if era == Era::Legacy {
            let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "tests", "version": "0"}});
            let welcome = agent.request("initialize", hello);
            assert_eq!(welcome["result"]["protocolVersion"], "2025-11-25", "{welcome}");
            agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        }
        agent
    }

    /// Starts a server, and says nothing.
    pub fn connect(command: &mut Command, era: Era) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let (told, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().unwrap();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                kept.lock().unwrap().push_str(&line);
                kept.lock().unwrap().push('\n');
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { child, stdin, lines, seen, log, next_id: 0, era, others: Vec::new() }
    }

    /// Every byte that the server has written to stdout.
    pub fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Every byte that the server has written to stderr.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        self.send_raw(message.to_string().as_bytes());
    }

    /// Sends a line, whatever it is.
    pub fn send_raw(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a request and does not wait. Gives its id.
    pub fn begin(&mut self, method: &str, mut params: Value) -> u64 {
        self.next_id += 1;
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Waits for the answer to a request.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        match self.answer_within(id, PATIENCE) {
            Some(answer) => answer,
            None => panic!("no answer; the server's log: {}", self.log()),
        }
    }

    /// Waits for the answer to a request, and not too long.
    #[track_caller]
    pub fn answer_within(&mut self, id: u64, patience: Duration) -> Option<Value> {
        if let Some(at) = self.others.iter().position(|message| message["id"] == id) {
            return Some(self.others.remove(at));
        }
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(patience.checked_sub(began.elapsed())?) {
                Ok(line) => {
                    let message: Value = serde_json::from_str(&line).expect("stdout is the wire");
                    if message["id"] == id {
                        return Some(message);
                    }
                    self.others.push(message);
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the server has gone; its log: {}", self.log())
                }
            }
        }
    }

    /// Waits for a message that is no answer.
    #[track_caller]
    pub fn notification(&mut self, method: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Some(at) = self.others.iter().position(|message| message["method"] == method) {
                return self.others.remove(at);
            }
            let left = PATIENCE.checked_sub(began.elapsed()).expect("the notification comes");
            let line = self.lines.recv_timeout(left).expect("the notification comes");
            self.others.push(serde_json::from_str(&line).unwrap());
        }
    }

    /// Waits for any message.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a message comes");
        serde_json::from_str(&line).expect("stdout is the wire")
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Calls a tool and does not wait.
    pub fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.begin("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        let id = self.begin_call(tool, arguments);
        Reply(self.answer(id))
    }

    /// Calls a tool that must do its work.
    #[track_caller]
    pub fn done(&mut self, tool: &str, arguments: Value) -> Reply {
        let reply = self.call(tool, arguments);
        assert!(!reply.failed(), "{}\nlog: {}", reply.0, self.log());
        reply
    }

    /// Calls a tool that must refuse, and gives what it says.
    #[track_caller]
    pub fn refused(&mut self, tool: &str, arguments: Value) -> String {
        let reply = self.call(tool, arguments);
        assert!(reply.failed(), "{}", reply.0);
        reply.text()
    }

    /// The names of the tools.
    pub fn tools(&mut self) -> Vec<String> {
        let list = self.request("tools/list", json!({}));
        let tools = list["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Closes the server's stdin and waits for its end.
    pub fn leave(&mut self) -> ExitStatus {
        self.stdin = None;
        self.wait()
    }

    /// Waits for the server's end.
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end; its log: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal)
            .unwrap();
    }

    /// The children of the server, by process id.
    pub fn children(&self) -> Vec<u32> {
        // Children belong to the thread that started them.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let mut children = Vec::new();
        for task in tasks.into_iter().flatten().flatten() {
            let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        children
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stdin = None;
        for _ in 0..300 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a `tools/call`.
#[derive(Clone, Debug)]
pub struct Reply(pub Value);

impl Reply {
    /// Its text.
    pub fn text(&self) -> String {
        if let Some(message) = self.0["error"]["message"].as_str() {
            return message.to_owned();
        }
        let blocks = self.0["result"]["content"].as_array().unwrap();
        let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        texts.join("\n")
    }

    /// Its first block of text.
    pub fn first(&self) -> &str {
        self.0["result"]["content"][0]["text"].as_str().unwrap()
    }

    /// Its structured content.
    pub fn data(&self) -> &Value {
        &self.0["result"]["structuredContent"]
    }

    /// Whether it says that something went wrong.
    pub fn failed(&self) -> bool {
        self.0["error"].is_object() || self.0["result"]["isError"] == true
    }
}
