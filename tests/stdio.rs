//! stdin and stdout in every form in which clients hand them over.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::workspace::Workspace;

const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

#[test]
fn a_pair_of_sockets_as_node_makes_them() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = workspace
        .subrosa(&["serve", "--config", "subrosa.toml"])
        .stdin(Stdio::from(OwnedFd::from(theirs.try_clone().unwrap())))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let mut writer = ours.try_clone().unwrap();
    writeln!(writer, "{HELLO}").unwrap();
    writeln!(writer, "{LIST}").unwrap();
    let mut lines = BufReader::new(&ours).lines();
    for id in [1, 2] {
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], id);
        assert!(answer["result"].is_object());
    }
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_file_and_a_file() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let input = workspace.write("input", &format!("{HELLO}\n{LIST}\n"));
    let output = workspace.path("output");
    let status = workspace
        .subrosa(&["serve", "--config", "subrosa.toml"])
        .stdin(std::fs::File::open(input).unwrap())
        .stdout(std::fs::File::create(&output).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let answers: Vec<Value> = std::fs::read_to_string(output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(),
        [json!(1), json!(2)]
    );
}

#[test]
fn a_client_that_does_not_read_any_more() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut child = workspace
        .subrosa(&["serve", "--config", "subrosa.toml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    for _ in 0..3 {
        // The server may be gone already.
        let _ = writeln!(stdin, "{HELLO}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_client_that_reads_late_does_not_fill_the_memory() {
    const CALLS: usize = 3000;
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut child = workspace
        .subrosa(&["serve", "--config", "subrosa.toml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // 300 megabytes in all, asked for at once and not read.
    let asking = std::thread::spawn(move || {
        writeln!(stdin, "{HELLO}").unwrap();
        let service = json!({"service_id": "x", "notes": "x".repeat(50_000)}).to_string();
        let mut call = |id: usize, tool: &str, arguments: Value| {
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": {"name": tool, "arguments": arguments}});
            writeln!(stdin, "{call}").unwrap();
        };
        call(2, "set_service_context_info", json!({"service_info_json": service}));
        (3..CALLS + 3).for_each(|id| call(id, "get_service_context_info", json!({})));
        stdin
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 320 << 10, "{resident} kB");
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(
        answers.by_ref().filter(|line| line.contains("\"id\":")).take(CALLS + 2).count(),
        CALLS + 2
    );
    drop(asking.join().unwrap());
    assert!(child.wait().unwrap().success());
}

#[test]
fn stdout_is_the_wire_and_nothing_else() {
    let workspace = Workspace::new("[tools]\nenable = []").with("SUBROSA_LOG", "trace");
    let mut agent = workspace.serve();
    agent.call("ecs_list_clusters", json!({"region": 1}));
    agent.send_raw(b"garbage");
    agent.next();
    agent.leave();
    for line in agent.seen().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
    }
    assert!(agent.log().contains("serving ends"), "{}", agent.log());
}

#[test]
fn logs_are_structured_where_asked_for() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut command = workspace.subrosa(&[
        "serve",
        "--config",
        "subrosa.toml",
        "--log-format",
        "json",
        "--log-level",
        "debug",
    ]);
    let mut agent =
        crate::support::agent::Agent::start(&mut command, crate::support::agent::Era::Legacy);
    agent.leave();
    let log = agent.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["fields"].is_object(), "{line}");
    }
}
