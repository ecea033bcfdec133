//! Configuration: every example loads, and every mistake is told with its place and a way out.

use std::fs;

use serde_json::json;
use subrosa::config::Config;

use crate::support::workspace::Workspace;

fn root(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_example_of_the_readme_loads() {
    let readme = root("README.md");
    let examples: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|text| text.starts_with("# subrosa.toml"))
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(folder.path().join("policies/ecs-operator.json"), r#"{"Statement": []}"#)
            .unwrap();
        fs::create_dir(folder.path().join("my-tools")).unwrap();
        let manifest = "description = \"mine\"\ncommand = \"mine\"\n";
        fs::write(folder.path().join("my-tools/mine.toml"), manifest).unwrap();
        Config::parse(example, folder.path(), None).unwrap();
    }
}

#[test]
fn the_client_configuration_starts_the_server() {
    let clients: serde_json::Value = serde_json::from_str(&root("mcp.json")).unwrap();
    let server = &clients["mcpServers"]["subrosa"];
    assert_eq!(server["command"], "subrosa");
    let arguments: Vec<&str> =
        server["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let workspace = Workspace::new("");
    let mut command = workspace.subrosa(&arguments);
    let mut agent =
        crate::support::agent::Agent::start(&mut command, crate::support::agent::Era::Legacy);
    assert!(agent.tools().len() > 15);
    assert!(workspace.path("home/.local/state/subrosa/audit.jsonl").exists());
}

#[test]
fn a_mistake_ends_with_code_2_and_its_place() {
    for (config, said) in [
        (
            "[integrations.prod]\nprovider = \"aws\"\nregoin = \"x\"",
            "subrosa.toml:3:1: unknown field `regoin`",
        ),
        ("[tools]\nenable = [\"esc\"]", "did you mean `ecs`?"),
        ("[scopes.read-only]\nsession_policy = \"long.json\"", "is built in"),
        ("[scopes.x]\nsession_policy = \"long.json\"", "AWS takes 2048 of a session policy"),
        ("[scopes.x]\nsession_policy = \"empty.json\"", "it has no `Statement`"),
        ("[limits]\ncalls = 0", "limits.calls: must be at least 1"),
        ("[session]\nidle_timeout = \"0s\"", "session.idle_timeout: must be at least \"1s\""),
        ("[scopes.x]\nsession_policy = \"nowhere.json\"", "nowhere.json"),
        ("nonsense", "subrosa.toml:1:"),
        (
            "[tools]\nenable = [\"mine\"]\ndir = \"mine\"",
            "mine/mine.toml:1:1: unknown field `comand`",
        ),
    ] {
        let workspace = Workspace::new(config);
        workspace.write("mine/mine.toml", "comand = \"x\"\n");
        workspace.write("empty.json", "{}");
        let long = json!({"Statement": [{"Effect": "Allow", "Action": "a".repeat(2500)}]});
        workspace.write("long.json", &long.to_string());
        let output = workspace.subrosa(&["serve", "--config", "subrosa.toml"]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(output.stdout.is_empty());
    }
    let workspace = Workspace::new("");
    let output = workspace.subrosa(&["serve", "--config", "missing.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("missing.toml: the configuration cannot be read"), "{error}");
    let output = workspace.subrosa(&["sreve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_is_found_where_the_user_keeps_it_and_not_where_a_project_lies() {
    let marked = "[tools]\nenable = []\n[integrations.mine]\nprovider = \"aws\"\n";
    let knows = |workspace: &Workspace, arguments: &[&str]| {
        let mut command = workspace.subrosa(arguments);
        let mut agent =
            crate::support::agent::Agent::start(&mut command, crate::support::agent::Era::Legacy);
        let given = json!({"credentials_json": r#"{"integration":"mine"}"#});
        let known = !agent.call("set_aws_credentials_context", given).failed();
        (known, agent.log())
    };
    // ./subrosa.toml is the project's.
    let workspace = Workspace::new(marked);
    let (known, log) = knows(&workspace, &["serve"]);
    assert!(!known && log.contains("name it with --config"), "{log}");
    assert!(knows(&workspace, &["serve", "--config", "subrosa.toml"]).0);
    let workspace = Workspace::new("");
    workspace.write("home/.config/subrosa/subrosa.toml", marked);
    assert!(knows(&workspace, &["serve"]).0);
    let workspace = Workspace::new("");
    let elsewhere = workspace.write("elsewhere.toml", marked);
    let workspace = workspace.with("SUBROSA_CONFIG", elsewhere.to_str().unwrap());
    assert!(knows(&workspace, &["serve"]).0);
}
