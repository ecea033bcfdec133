//! What a call costs, as ratios within one run.
//!
//! ```sh
//! cargo bench --bench figures            # start, memory, proxied calls
//! cargo bench --bench figures -- aws     # also native calls beside the Python server's
//! ```
//!
//! Rounds alternate between the two sides of a ratio, and the median of the rounds is shown. CPU
//! time is that of the server and its child together, which is the steadiest figure on a machine
//! that does other things as well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::needless_pass_by_value,
    clippy::unchecked_time_subtraction,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark, on what the tests stand on"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{agent::Era, emulator, workspace::Workspace};

const ROUNDS: usize = 9;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--child") {
        return child();
    }
    start();
    proxied();
    if arguments.iter().any(|argument| argument == "aws") {
        native();
    }
}

/// A tool server that costs next to nothing: what is measured is the way to it.
fn child() {
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line.unwrap()) else { continue };
        let id = &message["id"];
        let answer = match message["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "0"}}),
            Some("tools/list") => {
                json!({"tools": [{"name": "blob", "inputSchema": {"type": "object"}}]})
            }
            Some("tools/call") => {
                let bytes = message["params"]["arguments"]["bytes"].as_u64().unwrap();
                writeln!(stdout, "{}", blob(id, usize::try_from(bytes).unwrap())).unwrap();
                stdout.flush().unwrap();
                continue;
            }
            _ if id.is_null() => continue,
            _ => {
                let error = json!({"code": -32601, "message": "no such method"});
                writeln!(stdout, "{}", json!({"jsonrpc": "2.0", "id": id, "error": error}))
                    .unwrap();
                continue;
            }
        };
        writeln!(stdout, "{}", json!({"jsonrpc": "2.0", "id": id, "result": answer})).unwrap();
        stdout.flush().unwrap();
    }
}

/// A reply of about this size, of text as AWS's answers are.
fn blob(id: &Value, bytes: usize) -> String {
    const TASK: &str = r#"{\"taskArn\":\"arn:aws:ecs:us-east-1:123456789012:task/prod/0123456789abcdef0123456789abcdef\",\"lastStatus\":\"RUNNING\",\"cpu\":\"256\",\"group\":\"service:web\"},"#;
    let text = TASK.repeat(bytes.div_ceil(TASK.len()));
    let text = &text[..bytes - usize::from(text[..bytes].ends_with('\\'))];
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
    )
}

/// One side of a ratio: a server that is called over its pipes.
struct Side {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    tool: &'static str,
}

impl Side {
    fn start(command: &mut Command, tool: &'static str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut side =
            Self { child, stdin, stdout: BufReader::with_capacity(1 << 20, stdout), tool };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "0"}});
        side.send(&json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": hello}));
        side.receive();
        side.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        side.send(&json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"}));
        side.receive();
        side
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin, "{message}").unwrap();
    }

    fn receive(&mut self) -> usize {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server has gone");
            if !line.starts_with("{\"jsonrpc\":\"2.0\",\"method\"") {
                assert!(!line.contains("\"isError\":true"), "{line}");
                return line.len();
            }
        }
    }

    fn call(&mut self, id: usize, bytes: usize) {
        let params = json!({"name": self.tool, "arguments": {"bytes": bytes}});
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
    }

    /// `calls` calls with `in_flight` of them under way: time and CPU time of one.
    fn round(&mut self, calls: usize, in_flight: usize, bytes: usize) -> (Duration, Duration) {
        let (began, cpu) = (Instant::now(), self.cpu());
        for id in 0..calls + in_flight {
            if id < calls {
                self.call(id, bytes);
            }
            if id >= in_flight {
                assert!(self.receive() > bytes);
            }
        }
        let each = u32::try_from(calls).unwrap();
        (began.elapsed() / each, (self.cpu() - cpu) / each)
    }

    /// CPU time of the process and its children, user and system.
    fn cpu(&self) -> Duration {
        let mut pids = vec![self.child.id()];
        for task in std::fs::read_dir(format!("/proc/{}/task", pids[0])).unwrap().flatten() {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
        pids.iter().map(|pid| cpu_of(*pid)).sum()
    }
}

fn cpu_of(pid: u32) -> Duration {
    // In nanoseconds, for each thread.
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.map(|task| {
        let line = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default()
    });
    Duration::from_nanos(nanos.sum())
}

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

fn start() {
    let workspace = Workspace::new("");
    let mut times = Vec::new();
    let mut rss = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        let mut side =
            Side::start(&mut workspace.subrosa(&["serve", "--config", "subrosa.toml"]), "");
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(300));
        rss.push(rss_kib(side.child.id()));
        side.child.kill().unwrap();
        side.child.wait().unwrap();
    }
    println!("cold start to tools/list   {:>10.1} ms", median(times).as_secs_f64() * 1e3);
    println!("resident memory, idle      {:>10.1} MiB", median(rss) as f64 / 1024.0);
}

fn proxied() {
    let own = std::env::current_exe().unwrap();
    let workspace = Workspace::new(
        "[tools]\nenable = [\"bench\"]\ndir = \"servers\"\n[limits]\nreply_bytes = 20000000\n",
    );
    workspace.write(
        "servers/bench.toml",
        &format!(
            "description = \"b\"\ncommand = {:?}\nargs = [\"--child\"]\n[actions]\nblob = {{ name = \"bench.Blob\", kind = \"read\" }}\n",
            own.display().to_string()
        ),
    );
    let mut direct = Side::start(Command::new(&own).arg("--child"), "blob");
    let mut through =
        Side::start(&mut workspace.subrosa(&["serve", "--config", "subrosa.toml"]), "bench__blob");
    println!(
        "\nproxied call beside the child called directly, medians of {ROUNDS} alternating rounds"
    );
    println!("{:<34} {:>12} {:>12} {:>8}", "", "direct", "through", "ratio");
    for (what, calls, in_flight, bytes) in [
        ("200 B, one at a time", 2000, 1, 200),
        ("200 B, 16 under way", 8000, 16, 200),
        ("200 B, 64 under way", 8000, 64, 200),
        ("64 KiB, one at a time", 300, 1, 64 << 10),
        ("10 MiB, one at a time", 5, 1, 10 << 20),
    ] {
        direct.round(calls / 4 + 1, in_flight, bytes);
        through.round(calls / 4 + 1, in_flight, bytes);
        let (mut walls, mut cpus) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (wall_direct, cpu_direct) = direct.round(calls, in_flight, bytes);
            let (wall_through, cpu_through) = through.round(calls, in_flight, bytes);
            walls.push((wall_direct, wall_through));
            cpus.push((cpu_direct, cpu_through));
        }
        for (name, pairs) in [("time", walls), ("CPU time", cpus)] {
            let micros = |d: Duration| d.as_secs_f64() * 1e6;
            let left = median(pairs.iter().map(|(d, _)| micros(*d)).collect());
            let right = median(pairs.iter().map(|(_, t)| micros(*t)).collect());
            let ratio = median(pairs.iter().map(|(d, t)| micros(*t) / micros(*d)).collect());
            println!(
                "{:<34} {left:>9.1} µs {right:>9.1} µs {ratio:>8.2}",
                format!("{what}: {name}")
            );
        }
    }
}

fn native() {
    let keys = emulator::user("bench", &["sts:*", "ecs:*", "logs:*"]);
    let workspace = Workspace::emulated("", &keys);
    let mut agent = workspace.agent(Era::Legacy);
    let served = json!({"api_operation": "ListClusters"});
    agent.done("ecs_list_clusters", json!({}));
    agent.done("ecs__ecs_resource_management", served.clone());
    let (mut natives, mut pythons) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let began = Instant::now();
        agent.done("ecs_list_clusters", json!({}));
        natives.push(began.elapsed());
        let began = Instant::now();
        agent.done("ecs__ecs_resource_management", served.clone());
        pythons.push(began.elapsed());
    }
    let pairs = natives.iter().zip(&pythons).map(|(n, p)| p.as_secs_f64() / n.as_secs_f64());
    let ratio = median(pairs.collect());
    let millis = |times: Vec<Duration>| median(times).as_secs_f64() * 1e3;
    println!(
        "\nListClusters on the emulator: native {:.1} ms, through the Python server {:.1} ms, ratio {ratio:.2}",
        millis(natives),
        millis(pythons)
    );
}
