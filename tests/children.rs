//! Children that do what servers should not do: each ends in a clear answer, and the server, its
//! session and its other children go on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{agent::Agent, eventually, lives, workspace::Workspace};

/// A workspace whose only tool server is the odd one. `manifest` is added to its manifest, `config`
/// to the configuration.
pub fn odd_workspace(manifest: &str, config: &str) -> Workspace {
    odd_started_with("", manifest, config)
}

fn odd_started_with(argument: &str, manifest: &str, config: &str) -> Workspace {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/children/odd.py");
    let workspace =
        Workspace::new(&format!("[tools]\nenable = [\"odd\"]\ndir = \"servers\"\n{config}"));
    let python = crate::support::python::demo().program("python").display().to_string();
    let arguments = if argument.is_empty() { String::new() } else { format!(", {argument:?}") };
    let manifest = format!(
        r#"
description = "odd"
command = {python:?}
args = ["-I", {script:?}{arguments}]
inherit = ["PATH"]
{manifest}
[actions]
{}"#,
        TOOLS
            .map(|tool| format!("{tool} = {{ name = \"odd.{tool}\", kind = \"read\" }}\n"))
            .concat()
    );
    workspace.write("servers/odd.toml", &manifest);
    workspace
}

const TOOLS: [&str; 23] = [
    "echo",
    "environment",
    "hang",
    "die",
    "die_quietly",
    "garbage",
    "flood",
    "huge",
    "grandchild",
    "malformed",
    "wrong_id",
    "protocol_error",
    "question",
    "change",
    "slow",
    "raw",
    "escape",
    "calls",
    "leak_in_error",
    "lease",
    "orphan",
    "brand_new",
    "unheard",
];

/// The server still works, with the same context.
fn goes_on(agent: &mut Agent) {
    assert_eq!(agent.done("odd__echo", json!({"text": "still here"})).text(), "still here");
    let service = agent.done("get_service_context_info", json!({}));
    assert_eq!(service.data()["service_id"], "kept", "{}", service.0);
}

fn agent(workspace: &Workspace) -> Agent {
    let mut agent = workspace.serve();
    let info = json!({"service_info_json": r#"{"service_id":"kept"}"#});
    agent.done("set_service_context_info", info);
    // Its tools are not recorded: listing them starts it.
    assert!(agent.tools().contains(&"odd__echo".to_owned()));
    agent
}

#[test]
fn one_that_prints_garbage_is_listened_to_all_the_same() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    assert_eq!(agent.done("odd__garbage", json!({})).text(), "after the garbage");
    assert_eq!(agent.done("odd__flood", json!({})).text(), "after the flood");
    goes_on(&mut agent);
}

#[test]
fn one_that_dies_is_restarted_and_the_call_is_told() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    let said = agent.refused("odd__die", json!({}));
    assert!(said.contains("`odd` ended (exit code 7) while the call was under way"), "{said}");
    assert!(said.contains("the disk is on fire"), "{said}");
    goes_on(&mut agent);
    let said = agent.refused("odd__die_quietly", json!({}));
    assert!(said.contains("ended (exit code 0)"), "{said}");
    goes_on(&mut agent);
}

#[test]
fn one_that_keeps_dying_is_left_alone() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    agent.refused("odd__die", json!({}));
    agent.refused("odd__die", json!({}));
    let said = agent.refused("odd__echo", json!({"text": "x"}));
    assert!(said.contains("has ended 2 times in a row"), "{said}");
    assert!(agent.children().is_empty());
    // All else goes on.
    agent.done("get_service_context_info", json!({}));
}

#[test]
fn one_that_never_answers_is_ended_and_the_next_call_gets_a_new_one() {
    let workspace = odd_workspace("timeout = \"1s\"", "");
    let mut agent = agent(&workspace);
    let first = agent.children();
    let began = Instant::now();
    let said = agent.refused("odd__hang", json!({}));
    assert!(said.contains("did not answer `hang` within 1s"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30));
    goes_on(&mut agent);
    eventually("the hanging child ends", || !lives(first[0]));
    assert_ne!(agent.children(), first);
}

#[test]
fn other_calls_are_told_for_which_one_it_was_ended() {
    let workspace = odd_workspace("timeout = \"2s\"", "");
    let mut agent = agent(&workspace);
    let hanging = agent.begin_call("odd__hang", json!({}));
    std::thread::sleep(Duration::from_millis(800));
    let behind = agent.begin_call("odd__echo", json!({"text": "x"}));
    let text = |answer: serde_json::Value| answer["result"]["content"][0]["text"].to_string();
    let (first, second) = (text(agent.answer(hanging)), text(agent.answer(behind)));
    assert!(first.contains("did not answer `hang` within 2s"), "{first}");
    assert!(second.contains("did not answer another call, of `hang`, in time"), "{second}");
    goes_on(&mut agent);
}

#[test]
fn all_calls_on_a_child_that_dies_are_told() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    let calls = [
        agent.begin_call("odd__slow", json!({"seconds": 0.5})),
        agent.begin_call("odd__die", json!({})),
        agent.begin_call("odd__echo", json!({"text": "x"})),
        agent.begin_call("odd__echo", json!({"text": "y"})),
    ];
    let [slow, others @ ..] = calls.map(|id| agent.answer(id)["result"].to_string());
    assert!(slow.contains("done"), "{slow}");
    for said in others {
        assert!(said.contains("ended (exit code 7) while the call was under way"), "{said}");
    }
    // It died once, not three times.
    goes_on(&mut agent);
}

#[test]
fn one_whose_stdout_somebody_else_holds_open_is_not_waited_for() {
    let workspace = odd_workspace("timeout = \"80s\"", "");
    let mut agent = agent(&workspace);
    let began = Instant::now();
    let said = agent.refused("odd__orphan", json!({}));
    assert!(said.contains("ended (exit code 3)"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(40));
    let orphan = said.rsplit("orphan ").next().unwrap().trim().parse().unwrap();
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(orphan).unwrap(),
        rustix::process::Signal::KILL,
    );
    goes_on(&mut agent);
}

#[test]
fn one_whose_list_of_tools_has_no_end_is_cut_short() {
    let workspace = odd_started_with("--endless", "", "");
    let mut agent = workspace.serve();
    let tools = agent.tools();
    let served = tools.iter().filter(|name| name.starts_with("odd__echo")).count();
    assert_eq!(served, 50);
    assert!(agent.log().contains("has no end, and was cut"), "{}", agent.log());
}

#[test]
fn more_calls_than_the_limit_are_refused_until_some_end() {
    let workspace = odd_workspace("", "[limits]\ncalls = 3");
    let mut agent = agent(&workspace);
    let hanging: Vec<u64> = (0..3).map(|_| agent.begin_call("odd__hang", json!({}))).collect();
    eventually("the calls are under way", || workspace.audit().matches("odd.hang").count() >= 3);
    for tool in ["odd__echo", "get_service_context_info"] {
        let said = agent.refused(tool, json!({}));
        assert!(said.contains("as many calls of this session are under way"), "{said}");
    }
    // The way out is never refused.
    agent.done("clear_credential_context", json!({}));
    for id in hanging {
        agent.answer(id);
    }
    assert_eq!(agent.done("odd__echo", json!({"text": "again"})).text(), "again");
}

#[test]
fn a_call_that_is_taken_back_is_told_to_the_child() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    let id = agent.begin_call("odd__slow", json!({"seconds": 2}));
    // It is under way when its decision is in the audit log.
    eventually("the call is decided", || workspace.audit().contains("odd.slow"));
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": id, "reason": "enough"}}));
    eventually("the end is in the audit log", || {
        workspace.audit().contains("\"outcome\":\"cancelled\"")
    });
    goes_on(&mut agent);
    let calls = agent.done("odd__calls", json!({})).text();
    assert!(calls.contains("cancelled"), "{calls}");
    // No answer came, or comes.
    assert!(agent.answer_within(id, Duration::from_millis(300)).is_none());
}

#[test]
fn answers_for_somebody_else_reach_nobody() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    let slow = agent.begin_call("odd__slow", json!({"seconds": 1}));
    assert_eq!(agent.done("odd__wrong_id", json!({})).text(), "for you");
    let answer = agent.answer(slow);
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    goes_on(&mut agent);
    assert!(!agent.seen().contains("for somebody"));
}

#[test]
fn what_is_no_tool_result_is_told() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    let said = agent.refused("odd__malformed", json!({}));
    assert!(said.contains("answered `malformed` with something that is no tool result"), "{said}");
    let error = agent.call("odd__protocol_error", json!({"a": 1}));
    assert_eq!(error.0["error"]["code"], -32602);
    assert_eq!(error.0["error"]["data"], json!({"a": 1}));
    goes_on(&mut agent);
}

#[test]
fn a_reply_that_is_too_large_is_told_with_its_size() {
    let workspace = odd_workspace("", "[limits]\nreply_bytes = 1000000");
    let mut agent = agent(&workspace);
    let said = agent.refused("odd__huge", json!({"bytes": 5_000_000}));
    assert!(said.contains("more than the 1000000 that are passed on"), "{said}");
    let whole = agent.done("odd__huge", json!({"bytes": 900_000}));
    assert_eq!(whole.text().len(), 900_000);
    goes_on(&mut agent);
}

#[test]
fn a_child_s_question_is_not_answered_for_the_user() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    assert_eq!(agent.done("odd__question", json!({})).text(), "answered with an error");
    goes_on(&mut agent);
}

#[test]
fn a_change_of_its_tools_is_passed_on() {
    let workspace = odd_workspace("", "");
    let mut agent = agent(&workspace);
    assert!(!agent.tools().contains(&"odd__brand_new".to_owned()));
    let early = agent.call("odd__brand_new", json!({}));
    assert_eq!(early.0["error"]["code"], -32602, "{}", early.0);
    // The first list was a change as well: it was not known before.
    agent.notification("notifications/tools/list_changed");
    agent.done("odd__change", json!({}));
    agent.notification("notifications/tools/list_changed");
    assert!(agent.tools().contains(&"odd__brand_new".to_owned()));
}

#[test]
fn one_that_is_not_there_is_told_with_what_to_install() {
    let workspace = odd_workspace("", "[tools.override.odd]\ncommand = \"no-such-program\"");
    let mut agent = workspace.serve();
    assert!(!agent.tools().iter().any(|name| name.starts_with("odd__")));
    assert!(agent.log().contains("`no-such-program` was not found"), "{}", agent.log());
    // A built-in one, whose tools are listed without it.
    let workspace = Workspace::new("[session]\nenvironment_fallback = true")
        .with("PATH", "/nonexistent")
        .with("AWS_ENDPOINT_URL", crate::support::emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "test");
    let mut agent = workspace.serve();
    // As often as it is asked for.
    for _ in 0..4 {
        let arguments = json!({"api_operation": "ListClusters"});
        let said = agent.refused("ecs__ecs_resource_management", arguments);
        assert!(
            said.contains("`uvx` was not found on the PATH") && said.contains("install uv"),
            "{said}"
        );
    }
    agent.done("ecs_list_clusters", json!({}));
}

#[test]
fn a_program_beside_its_manifest_is_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = odd_workspace("", "");
    let manifest = std::fs::read_to_string(workspace.path("servers/odd.toml")).unwrap();
    let python = crate::support::python::demo().program("python").display().to_string();
    let script =
        workspace.write("servers/bin/start", &format!("#!/bin/sh\nexec {python} \"$@\"\n"));
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let beside = manifest.replace(&format!("{python:?}"), "\"bin/start\"");
    assert_ne!(manifest, beside);
    workspace.write("servers/odd.toml", &beside);
    goes_on(&mut agent(&workspace));
}

#[test]
fn one_that_dies_at_its_start_is_told_with_its_last_words() {
    let workspace = odd_started_with("--die-at-start", "", "");
    workspace.write(
        "servers/odd.tools.json",
        r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#,
    );
    let mut agent = workspace.serve();
    let said = agent.refused("odd__echo", json!({"text": "x"}));
    assert!(said.contains("ended with exit code 1 before it was ready"), "{said}");
    assert!(said.contains("No module named 'fastmcp'"), "{said}");
    agent.refused("odd__echo", json!({"text": "x"}));
    assert!(agent.refused("odd__echo", json!({})).contains("in a row"));
}

#[test]
fn one_that_is_no_server_is_told() {
    let workspace = odd_started_with("--no-server", "start_timeout = \"1s\"", "");
    workspace.write(
        "servers/odd.tools.json",
        r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#,
    );
    let mut agent = workspace.serve();
    let said = agent.refused("odd__echo", json!({"text": "x"}));
    assert!(said.contains("`odd` was not ready within 1s"), "{said}");
    eventually("it is ended", || agent.children().is_empty());
}

#[test]
fn its_environment_is_built_from_empty_and_its_home_is_its_own() {
    let workspace = odd_workspace("env = { PLAIN = \"yes\", CACHE = \"~/.cache/x\" }", "")
        .with("SECRET_OF_THE_SERVER", "do-not-inherit")
        .with("AWS_SECRET_ACCESS_KEY", "do-not-inherit-either")
        .with("AWS_PROFILE", "nor-this");
    // Not even where a manifest asks for it.
    let manifest = std::fs::read_to_string(workspace.path("servers/odd.toml")).unwrap();
    let greedy =
        manifest.replace("inherit = [\"PATH\"", "inherit = [\"PATH\", \"AWS_S*\", \"AWS_PROFILE\"");
    assert_ne!(manifest, greedy);
    workspace.write("servers/odd.toml", &greedy);
    let mut agent = agent(&workspace);
    let text = agent.done("odd__environment", json!({})).text();
    let environment: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut names: Vec<&String> = environment.as_object().unwrap().keys().collect();
    names.retain(|name| *name != "LC_CTYPE"); // Python's own
    names.sort();
    let closed = ["AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE"];
    assert_eq!(names[..3], closed, "no other credentials are in reach");
    assert_eq!(names[3..], ["CACHE", "HOME", "PATH", "PLAIN", "TMPDIR"]);
    let home = environment["HOME"].as_str().unwrap();
    assert_ne!(home, workspace.path("home").to_str().unwrap());
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 0);
    assert_eq!(environment["CACHE"], workspace.path("home/.cache/x").to_str().unwrap());
    agent.leave();
    assert!(!std::path::Path::new(home).exists());
}
