//! The public face: each tool as it is listed, one file a tool. A change shows in the diff.

use serde_json::{Value, json};

use crate::support::workspace::Workspace;

#[test]
fn every_tool_is_listed_as_its_snapshot_says() {
    let workspace = Workspace::new("[tools]\nenable = [\"ecs\", \"aws-api\"]");
    let mut agent = workspace.serve();
    let list = agent.request("tools/list", json!({}));
    let tools = list["result"]["tools"].as_array().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("schemas");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for tool in tools {
            insta::assert_json_snapshot!(tool["name"].as_str().unwrap(), tool);
        }
    });
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let first = &names[..6];
    assert_eq!(
        first,
        [
            "set_aws_credentials_context",
            "get_aws_credentials_context",
            "set_service_context_info",
            "get_service_context_info",
            "extract_and_set_credentials_from_stack_job",
            "clear_credential_context",
        ]
    );
    for tool in tools.iter().filter(|tool| !tool["name"].as_str().unwrap().contains("__")) {
        assert!(tool["title"].is_string() && tool["annotations"]["readOnlyHint"].is_boolean());
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert!(tool["description"].as_str().unwrap().len() > 60);
    }
    // Names that every client takes.
    assert!(names.iter().all(|name| name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))));
}

#[test]
fn the_list_is_answered_without_a_child_and_is_the_same_each_time() {
    let workspace = Workspace::new(
        "[tools]\nenable = [\"ecs\", \"aws-api\"]\n[tools.override.ecs]\ncommand = \"/nonexistent\"",
    );
    let mut agent = workspace.serve();
    let first: Value = agent.request("tools/list", json!({}))["result"]["tools"].clone();
    assert!(agent.children().is_empty());
    assert_eq!(first, agent.request("tools/list", json!({}))["result"]["tools"]);
    assert!(first.as_array().unwrap().len() > 15);
}
