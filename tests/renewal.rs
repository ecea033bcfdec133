//! Leases are issued once for all who want them, renewed ahead of their end, and reach children
//! that run: by the endpoint as they are, by the environment in a new process.

use std::time::Duration;

use serde_json::json;

use crate::{
    children::odd_workspace,
    support::{agent::Agent, emulator, eventually, sts::Sts, workspace::Workspace},
};

/// Long enough to need no renewal.
const LONG: Duration = Duration::from_hours(1);
/// So short that the next call renews it, and long enough to be used.
const SHORT: Duration = Duration::from_mins(2);

fn workspace(user: &str, delivery: &str, sts: &Sts) -> Workspace {
    let keys = emulator::user(user, &["sts:*", "ecs:*"]);
    let manifest =
        format!("[credentials]\nprovider = \"aws\"\ndelivery = \"{delivery}\"\nat_start = true\n");
    odd_workspace(&manifest, "")
        .with("AWS_ENDPOINT_URL", sts.endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
}

fn echo(agent: &mut Agent) -> u32 {
    agent.done("odd__echo", json!({"text": "x"}));
    let children = agent.children();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

#[test]
fn many_calls_at_once_get_one_lease() {
    let sts = Sts::start(LONG);
    let workspace = workspace("single-flight", "endpoint", &sts);
    let mut agent = workspace.serve();
    let calls: Vec<u64> = (0..50)
        .map(|number| match number % 2 {
            0 => agent.begin_call("ecs_list_clusters", json!({})),
            _ => agent.begin_call("odd__echo", json!({"text": "x"})),
        })
        .collect();
    for id in calls {
        let answer = agent.answer(id);
        assert_eq!(answer["result"]["isError"], false, "{answer}");
    }
    assert_eq!(sts.issued(), 1);
    assert_eq!(sts.identified(), 1, "and it is checked once");
    assert_eq!(workspace.audit().matches("\"event\":\"issued\"").count(), 1);
    // Another region is another lease.
    agent.done("ecs_list_clusters", json!({"region": "eu-west-1"}));
    assert_eq!(sts.issued(), 2);
}

#[test]
fn a_renewed_lease_reaches_a_child_that_runs_by_its_endpoint() {
    let sts = Sts::start(SHORT);
    let workspace = workspace("renewed-endpoint", "endpoint", &sts);
    let mut agent = workspace.serve();
    let first = echo(&mut agent);
    let issued = sts.issued();
    assert_eq!(echo(&mut agent), first, "the same child");
    assert_eq!(sts.issued(), issued + 1, "another lease");
    sts.let_live(LONG);
    assert_eq!(echo(&mut agent), first);
    assert_eq!(echo(&mut agent), first);
    assert_eq!(sts.issued(), issued + 2, "the last one lives long enough");
    workspace.verified();
}

#[test]
fn a_renewed_lease_reaches_a_new_child_by_its_environment() {
    let sts = Sts::start(SHORT);
    let workspace = workspace("renewed-environment", "environment", &sts);
    let mut agent = workspace.serve();
    let first = echo(&mut agent);
    // A call that is under way keeps its child until it is answered.
    let slow = agent.begin_call("odd__slow", json!({"seconds": 2}));
    eventually("the call is under way", || workspace.audit().contains("odd.slow"));
    sts.let_live(LONG);
    agent.done("odd__echo", json!({"text": "x"}));
    assert_eq!(agent.answer(slow)["result"]["content"][0]["text"], "done");
    eventually("the old child ends", || agent.children().len() == 1);
    let second = echo(&mut agent);
    assert_ne!(second, first);
    assert_eq!(echo(&mut agent), second);
}

#[test]
fn a_lease_that_cannot_be_renewed_is_used_while_it_lives() {
    let sts = Sts::start(SHORT);
    let workspace = workspace("not-renewed", "endpoint", &sts);
    let mut agent = workspace.serve();
    agent.done("ecs_list_clusters", json!({}));
    sts.refuse();
    agent.done("ecs_list_clusters", json!({}));
    assert!(agent.log().contains("a lease could not be renewed"), "{}", agent.log());
    // What was never issued cannot be used on.
    let said = agent.refused("ecs_list_clusters", json!({"region": "eu-west-1"}));
    assert!(said.contains("AWS denied sts:GetFederationToken"), "{said}");
}

#[test]
fn calls_that_wait_for_an_issuance_that_fails_do_not_wait_again() {
    // An STS that takes connections and does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = Workspace::new("[tools]\nenable = []")
        .with("AWS_ENDPOINT_URL", &format!("http://{}", silent.local_addr().unwrap()))
        .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let mut agent = workspace.serve();
    let calls: Vec<u64> =
        (0..5).map(|_| agent.begin_call("ecs_list_clusters", json!({}))).collect();
    // One waits for half a minute, and five would for two and a half, which is too long here.
    for id in calls {
        let answer = agent.answer(id).to_string();
        assert!(answer.contains("could not be reached"), "{answer}");
    }
}

#[test]
fn a_lease_that_is_about_to_end_and_cannot_be_renewed_is_not_used() {
    let sts = Sts::start(Duration::from_secs(10));
    let workspace = workspace("ended", "endpoint", &sts);
    let mut agent = workspace.serve();
    agent.done("ecs_list_clusters", json!({}));
    sts.refuse();
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("AWS denied sts:GetFederationToken"), "{said}");
}
