//! Clients as people have them: the MCP Inspector's command line, and the Python and TypeScript
//! SDKs, in both protocol revisions.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{emulator, node::node, python, workspace::Workspace};

fn workspace(name: &str) -> Workspace {
    let keys = emulator::user(name, &["sts:*", "ecs:*", "logs:*"]);
    let workspace = Workspace::emulated("", &keys);
    // By the environment: the Inspector has a --config of its own.
    let config = workspace.path("subrosa.toml");
    workspace.with("SUBROSA_CONFIG", config.to_str().unwrap())
}

/// Runs a client in a workspace, so that the server that it starts finds its surroundings.
fn run(workspace: &Workspace, mut client: Command) -> (bool, String, String) {
    let like = workspace.subrosa(&[]);
    client.env_clear().current_dir(workspace.path(""));
    client.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = client.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_inspector_lists_and_calls() {
    let workspace = workspace("inspector");
    for era in [&[][..], &["--protocol-era", "modern"][..]] {
        let inspect = |arguments: &[&str]| {
            let mut client = node().run(
                "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
            );
            client.args(["--cli", env!("CARGO_BIN_EXE_subrosa"), "serve"]);
            // It starts servers with an environment of its own.
            for (name, value) in workspace.environment() {
                client.args(["-e", &format!("{name}={value}")]);
            }
            client.args(era).args(arguments);
            let (good, out, err) = run(&workspace, client);
            assert!(good, "{out}\n{err}");
            serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{out}"))
        };
        // Strict: a schema that some client does not understand is an error.
        let list = inspect(&["--strict", "--method", "tools/list"]);
        assert!(list["tools"].as_array().unwrap().len() > 15, "{list}");
        let call = inspect(&["--method", "tools/call", "--tool-name", "ecs_list_clusters"]);
        assert_eq!(call["structuredContent"]["region"], "us-east-1", "{call}");
        let call = inspect(&[
            "--method",
            "tools/call",
            "--tool-name",
            "ecs__ecs_resource_management",
            "--tool-arg",
            "api_operation=ListClusters",
        ]);
        assert!(call["content"][0]["text"].as_str().unwrap().contains("clusterArns"), "{call}");
    }
}

/// What either SDK's script prints.
#[track_caller]
fn check(good: bool, out: &str, err: &str) {
    assert!(good, "{out}\n{err}");
    let told: Value = serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{out}\n{err}"));
    assert!(told["tools"].as_u64().unwrap() > 15, "{told}");
    assert_eq!(told["native"]["region"], "us-east-1", "{told}");
    assert!(told["served"].as_str().unwrap().contains("clusterArns"), "{told}");
    assert_eq!(told["denied"], true, "{told}");
    assert_eq!(told["unknown"], true, "{told}");
}

#[test]
fn the_python_sdk_in_both_revisions() {
    let workspace = workspace("python-sdk");
    for mode in ["legacy", "auto"] {
        let mut client = Command::new(python::sdk().program("python"));
        client.args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/sdk.py"), mode]);
        client.args([env!("CARGO_BIN_EXE_subrosa"), "serve"]);
        let (good, out, err) = run(&workspace, client);
        check(good, &out, &err);
        let told: Value = serde_json::from_str(out.trim()).unwrap();
        let revision = if mode == "legacy" { "2025-11-25" } else { "2026-07-28" };
        assert_eq!(told["revision"], revision, "{told}");
    }
}

#[test]
fn the_typescript_sdk_in_both_revisions() {
    let workspace = workspace("typescript-sdk");
    for (mode, revision) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
        let script = include_str!("clients/sdk.mjs");
        let mut client = node().run_own("sdk.mjs", script);
        client.arg(mode).args([env!("CARGO_BIN_EXE_subrosa"), "serve"]);
        let (good, out, err) = run(&workspace, client);
        check(good, &out, &err);
        let told: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(told["revision"], revision, "{told}");
    }
}

#[test]
fn a_client_may_call_a_tool_at_once() {
    // Revision 2026-07-28 has no handshake: the first request may be the call.
    let workspace = workspace("at-once");
    let mut agent = workspace.agent(crate::support::agent::Era::Modern);
    let reply =
        agent.done("ecs__ecs_resource_management", json!({"api_operation": "ListClusters"}));
    assert_eq!(reply.0["result"]["resultType"], "complete");
    let found = agent.request("server/discover", json!({}));
    let versions = found["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2025-11-25")));
    let odd = json!({"jsonrpc": "2.0", "id": "odd", "method": "tools/call", "params": {
        "name": "ecs__ecs_resource_management", "arguments": {"api_operation": "ListClusters"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01",
            "io.modelcontextprotocol/clientCapabilities": {}}}});
    agent.send(&odd);
    assert_eq!(agent.next()["error"]["code"], -32022);
}
