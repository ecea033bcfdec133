//! The audit log: a record before each thing that it tells of, one chain, and no call without it.

use std::{collections::HashSet, fs};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{emulator, eventually, workspace::Workspace};

/// The records of a log whose end may be torn.
fn whole_lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn events(workspace: &Workspace) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = workspace.audit_records();
    records.iter().map(|record| (text(&record["event"]), text(&record["action"]))).collect()
}

#[test]
fn decision_lease_and_outcome_are_told_in_order() {
    let keys = emulator::user("audited", &["sts:*", "ecs:*"]);
    let workspace = Workspace::emulated("", &keys);
    let mut agent = workspace.serve();
    agent.done("ecs_list_services", json!({"cluster": "default"}));
    agent.refused("ecs__ecs_resource_management", json!({"api_operation": "DeleteCluster"}));
    agent.leave();
    let events = events(&workspace);
    let expected = [
        ("session_opened", ""),
        ("decided", "aws.ecs.ListServices"),
        ("issued", "aws.ecs.ListServices"),
        ("completed", "aws.ecs.ListServices"),
        ("decided", "aws.ecs.DeleteCluster"),
        ("session_cleared", ""),
    ];
    let expected = expected.map(|(event, action)| (event.to_owned(), action.to_owned()));
    assert_eq!(events, expected);
    let records = workspace.audit_records();
    let (decided, issued, completed) = (&records[1], &records[2], &records[3]);
    assert_eq!(decided["decision"], "permit");
    assert_eq!(decided["resource"], "default");
    for record in [issued, completed] {
        assert_eq!(record["correlation"], decided["correlation"]);
    }
    assert_ne!(records[4]["correlation"], decided["correlation"]);
    assert_eq!(issued["lease"]["scoped"], true);
    assert!(issued["lease"]["access_key_id"].as_str().unwrap().starts_with("ASIA"));
    assert!(issued["lease"]["identity"].as_str().unwrap().contains("federated-user/agent-tester-"));
    assert_eq!(completed["outcome"], "answered");
    assert_eq!(records[4]["decision"], "deny");
    assert!(records[0]["principal"].as_str().unwrap().starts_with("tester (uid:"));
}

#[test]
fn verify_tells_whether_and_where_it_was_tampered_with() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut agent = workspace.serve();
    for _ in 0..3 {
        agent.done("get_service_context_info", json!({}));
    }
    agent.leave();
    let verify = || {
        let output = workspace.subrosa(&["audit", "verify", "audit.jsonl"]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, said) = verify();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("8 records, chain intact") && said.contains("head "), "{said}");
    let text = workspace.audit();
    workspace.write("audit.jsonl", &text.replacen("GetService", "SetService", 1));
    let (code, said) = verify();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("audit.jsonl is not intact: line 2: record 1 was edited"), "{said}");
    let without: Vec<&str> =
        text.lines().enumerate().filter(|(n, _)| *n != 3).map(|(_, l)| l).collect();
    workspace.write("audit.jsonl", &(without.join("\n") + "\n"));
    let (_, said) = verify();
    assert!(said.contains("record 3 is missing"), "{said}");
    let missing = workspace.subrosa(&["audit", "verify", "no-such-file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn without_an_audit_log_nothing_is_done() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut agent = workspace.serve();
    agent.done("get_service_context_info", json!({}));
    fs::remove_file(workspace.path("audit.jsonl")).unwrap();
    let info = json!({"service_info_json": r#"{"service_id":"x"}"#});
    let said = agent.refused("set_service_context_info", info);
    assert!(said.contains("was deleted while in use"), "{said}");
    // Nor does a server start that cannot write one.
    let workspace = Workspace::new("[tools]\nenable = []");
    fs::create_dir(workspace.path("audit.jsonl")).unwrap();
    let output = workspace.subrosa(&["serve", "--config", "subrosa.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be written") && said.contains("set audit.file"), "{said}");
}

#[test]
fn a_server_that_is_killed_leaves_a_chain_that_holds() {
    let workspace = crate::children::odd_workspace("", "");
    for _ in 0..3 {
        let mut agent = workspace.serve();
        agent.tools();
        for _ in 0..300 {
            agent.begin_call("odd__echo", json!({"text": "x"}));
        }
        let before = workspace.audit().len();
        eventually("calls are under way", || workspace.audit().len() > before + 5000);
        agent.signal(Signal::KILL);
        agent.wait();
        // Whatever was completed had been decided before.
        let mut decided = HashSet::new();
        for record in whole_lines(&workspace.audit()) {
            let correlation = record["correlation"].to_string();
            match record["event"].as_str() {
                Some("decided") => assert!(decided.insert(correlation), "{record}"),
                Some("completed") => assert!(decided.contains(&correlation), "{record}"),
                _ => {}
            }
        }
    }
    let mut agent = workspace.serve();
    agent.done("get_service_context_info", json!({}));
    workspace.verified();
}
