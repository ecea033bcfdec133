//! Nothing outlives its session: at EOF, on signals, after idleness and when the context is cleared
//! the children end, grandchildren too.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::{
    children::odd_workspace,
    support::{agent::Agent, emulator, eventually, lives, workspace::Workspace},
};

/// A server with a child and a grandchild.
fn family(workspace: &Workspace) -> (Agent, Vec<u32>) {
    let mut agent = workspace.serve();
    agent.tools();
    let grandchild = agent.done("odd__grandchild", json!({})).text().parse().unwrap();
    let mut all = agent.children();
    assert_eq!(all.len(), 1);
    all.push(grandchild);
    assert!(all.iter().all(|pid| lives(*pid)));
    (agent, all)
}

#[track_caller]
fn all_end(pids: &[u32]) {
    eventually("children and grandchildren end", || !pids.iter().any(|pid| lives(*pid)));
}

#[test]
fn at_the_end_of_stdin() {
    let workspace = odd_workspace("", "");
    let (mut agent, pids) = family(&workspace);
    assert!(agent.leave().success());
    all_end(&pids);
    assert!(workspace.audit().contains("\"cause\":\"the client closed the connection\""));
}

#[test]
fn on_signals() {
    for signal in [Signal::TERM, Signal::INT] {
        let workspace = odd_workspace("", "");
        let (mut agent, pids) = family(&workspace);
        agent.signal(signal);
        assert!(agent.wait().success());
        all_end(&pids);
        assert!(workspace.audit().contains("\"cause\":\"a signal\""));
    }
}

#[test]
fn on_a_signal_in_the_middle_of_calls() {
    let workspace = odd_workspace("", "");
    let (mut agent, pids) = family(&workspace);
    for _ in 0..5 {
        agent.begin_call("odd__hang", json!({}));
    }
    eventually("the calls are under way", || workspace.audit().matches("odd.hang").count() >= 5);
    agent.signal(Signal::TERM);
    assert!(agent.wait().success());
    all_end(&pids);
    workspace.verified();
}

#[test]
fn when_the_server_is_killed_the_children_notice() {
    let workspace = odd_workspace("", "");
    let mut agent = workspace.serve();
    agent.tools();
    let children = agent.children();
    agent.signal(Signal::KILL);
    assert!(!agent.wait().success());
    all_end(&children);
    workspace.verified();
}

#[test]
fn when_the_context_is_cleared() {
    let workspace = odd_workspace("", "");
    let (mut agent, pids) = family(&workspace);
    agent.done("clear_credential_context", json!({}));
    assert!(!pids.iter().any(|pid| lives(*pid)), "they are gone before the answer");
    // The next call gets a new one.
    agent.done("odd__echo", json!({"text": "again"}));
    assert_eq!(agent.children().len(), 1);
}

#[test]
fn when_the_context_is_cleared_under_calls() {
    let workspace = odd_workspace("", "");
    let (mut agent, pids) = family(&workspace);
    let hanging: Vec<u64> = (0..3).map(|_| agent.begin_call("odd__hang", json!({}))).collect();
    eventually("the calls are under way", || workspace.audit().matches("odd.hang").count() >= 3);
    agent.done("clear_credential_context", json!({}));
    for id in hanging {
        let answer = agent.answer(id);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("credentials were cleared"), "{answer}");
    }
    all_end(&pids);
    agent.done("odd__echo", json!({"text": "again"}));
}

#[test]
fn a_native_call_ends_with_the_context_too() {
    // AWS takes the connection and does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = Workspace::new("[tools]\nenable = []")
        .with("AWS_ENDPOINT_URL", &format!("http://{}", silent.local_addr().unwrap()))
        .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let mut agent = workspace.serve();
    let waiting = agent.begin_call("ecs_list_clusters", json!({}));
    eventually("the call is under way", || workspace.audit().contains("aws.ecs.ListClusters"));
    let began = std::time::Instant::now();
    agent.done("clear_credential_context", json!({}));
    let answer = agent.answer(waiting).to_string();
    assert!(answer.contains("credentials were cleared"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(10), "the SDK would wait for 15 s and more");
}

#[test]
fn after_idleness() {
    let workspace =
        odd_workspace("", "[session]\nidle_timeout = \"1s\"\nenvironment_fallback = false");
    let mut agent = workspace.serve();
    agent.done("set_service_context_info", json!({"service_info_json": r#"{"service_id":"x"}"#}));
    let keys =
        json!({"credentials_json": r#"{"access_key_id":"A","secret_access_key":"secret_test"}"#});
    agent.done("set_aws_credentials_context", keys);
    agent.tools();
    let children = agent.children();
    assert!(!children.is_empty());
    eventually("the context is cleared", || {
        workspace.audit().contains("\"cause\":\"idle timeout\"")
    });
    all_end(&children);
    let empty = agent.done("get_service_context_info", json!({}));
    assert!(empty.text().contains("error"), "{}", empty.text());
    let empty = agent.done("get_aws_credentials_context", json!({}));
    assert!(empty.text().contains("error"), "{}", empty.text());
}

#[test]
fn a_session_that_has_chosen_does_not_fall_back_on_the_environment() {
    let keys = emulator::user("fall-back", &["sts:*", "ecs:*"]);
    let workspace = Workspace::emulated("", &keys);
    let mut agent = workspace.serve();
    // It may, before it has chosen.
    agent.done("ecs_list_clusters", json!({}));
    agent.done("clear_credential_context", json!({}));
    agent.done("ecs_list_clusters", json!({}));
    let given =
        json!({"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key});
    agent.done("set_aws_credentials_context", json!({"credentials_json": given.to_string()}));
    agent.done("ecs_list_clusters", json!({}));
    agent.done("clear_credential_context", json!({}));
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("were cleared") && said.contains("choose them again"), "{said}");
    let shown = agent.done("get_aws_credentials_context", json!({}));
    assert!(shown.data()["error"].is_string(), "{}", shown.text());
}

#[test]
fn after_idleness_leases_of_the_environment_end_too() {
    let keys = emulator::user("idle", &["sts:*", "ecs:*"]);
    let manifest = "[credentials]\nprovider = \"aws\"\ndelivery = \"environment\"\n";
    let workspace = odd_workspace(manifest, "[session]\nidle_timeout = \"1s\"")
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    let cleared = || workspace.audit().matches("\"cause\":\"idle timeout\"").count();
    // Nothing was set; a lease and a child are there all the same.
    for times in 1..=2 {
        agent.done("ecs_list_clusters", json!({}));
        agent.done("odd__echo", json!({"text": "x"}));
        let children = agent.children();
        assert_eq!(children.len(), 1);
        eventually("the context is cleared", || cleared() == times);
        all_end(&children);
    }
    // With nothing left there is nothing to clear.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(cleared(), 2);
}

#[test]
fn nothing_of_a_child_that_was_given_up_is_left_behind() {
    let workspace = odd_workspace("timeout = \"1s\"", "");
    let manifest = std::fs::read_to_string(workspace.path("servers/odd.toml")).unwrap();
    workspace
        .write("servers/odd.toml", &manifest.replace("odd.py\"", "odd.py\", \"--ignore-eof\""));
    let (mut agent, pids) = family(&workspace);
    let said = agent.refused("odd__hang", json!({}));
    assert!(said.contains("did not answer `hang`"), "{said}");
    // It still has its time to end when the client leaves.
    assert!(pids.iter().any(|pid| lives(*pid)));
    assert!(agent.leave().success());
    assert!(!pids.iter().any(|pid| lives(*pid)), "they are gone before the server");
}

#[test]
fn nothing_is_left_behind_by_a_clearing_that_is_interrupted() {
    let workspace = odd_workspace("", "");
    let manifest = std::fs::read_to_string(workspace.path("servers/odd.toml")).unwrap();
    workspace
        .write("servers/odd.toml", &manifest.replace("odd.py\"", "odd.py\", \"--ignore-eof\""));
    let (mut agent, pids) = family(&workspace);
    agent.begin_call("clear_credential_context", json!({}));
    eventually("the clearing has begun", || workspace.audit().contains("subrosa.context.Clear"));
    // The child takes its time, and the signal comes in the middle.
    std::thread::sleep(Duration::from_millis(300));
    assert!(pids.iter().any(|pid| lives(*pid)));
    agent.signal(Signal::TERM);
    assert!(agent.wait().success());
    assert!(!pids.iter().any(|pid| lives(*pid)), "they are gone before the server");
    // Every call that was let begin has its end in the audit log.
    let records = workspace.audit_records();
    let count = |event: &str| {
        let permitted = |r: &&serde_json::Value| r["event"] == event && r["decision"] != "deny";
        records.iter().filter(permitted).count()
    };
    assert_eq!(count("decided"), count("completed"));
}

#[test]
fn a_call_that_takes_longer_than_the_idle_timeout_is_not_idle() {
    let workspace = odd_workspace("", "[session]\nidle_timeout = \"1s\"");
    let mut agent = workspace.serve();
    agent.tools();
    assert_eq!(agent.done("odd__slow", json!({"seconds": 3})).text(), "done");
}

#[test]
fn a_child_that_ignores_all_but_kill_is_killed() {
    let workspace = odd_workspace("", "");
    let manifest = std::fs::read_to_string(workspace.path("servers/odd.toml")).unwrap();
    let stubborn = manifest.replace("odd.py\"", "odd.py\", \"--ignore-eof\"");
    assert_ne!(manifest, stubborn);
    workspace.write("servers/odd.toml", &stubborn);
    let (mut agent, pids) = family(&workspace);
    assert!(agent.leave().success());
    all_end(&pids);
}

#[test]
fn calls_that_are_under_way_at_the_end_of_stdin_are_answered() {
    let workspace = odd_workspace("", "");
    let mut agent = workspace.serve();
    agent.tools();
    agent.begin_call("odd__slow", json!({"seconds": 1}));
    agent.begin_call("get_service_context_info", json!({}));
    eventually("the call is under way", || workspace.audit().contains("odd.slow"));
    assert!(agent.leave().success());
    std::thread::sleep(Duration::from_millis(100));
    assert!(
        agent.seen().contains("\"text\":\"done\"") || agent.seen().contains("\"text\": \"done\""),
        "{}",
        agent.seen()
    );
}
