//! The tool servers that are built in, as they are shipped or as near to it as a machine without
//! AWS allows.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::support::{aws::assert_none_of, emulator, python, workspace::Workspace};

/// A helper process that tells its address in its first line, and ends with the test.
struct Helper {
    child: Child,
    told: String,
}

impl Helper {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        Self { child, told: told.trim().to_owned() }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ecs_as_it_is_shipped() {
    // The manifest as it stands: uvx fetches the server.
    let keys = emulator::user("shipped", &["sts:*", "ecs:*"]);
    let path = std::env::join_paths(
        std::iter::once(python::uv())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let mut workspace = Workspace::new("")
        .with("PATH", path.to_str().unwrap())
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    // What a machine needs to reach the package registry.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "UV_DEFAULT_INDEX"]
    {
        if let Ok(value) = std::env::var(name) {
            workspace = workspace.with(name, &value);
        }
    }
    let mut agent = workspace.serve();
    let reply =
        agent.done("ecs__ecs_resource_management", json!({"api_operation": "ListClusters"}));
    assert!(reply.text().contains("clusterArns"), "{}", reply.text());
}

#[test]
fn aws_api_with_its_service_reference_served_here() {
    // The server refuses to start without a document of AWS's; a loopback proxy serves it.
    let reference =
        Helper::start(Command::new(python::aws_api().program("python")).args([
            "-I",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/service_reference.py"),
        ]));
    let (proxy, authority) = reference.told.split_once(' ').unwrap();
    let keys = emulator::user("aws-api", &["sts:*", "ecs:*", "secretsmanager:*"]);
    emulator::service("aws-api", "web", &json!({"DB_PASSWORD": "hunter2-in-cli-output"}));
    let server = python::aws_api().program("awslabs.aws-api-mcp-server");
    let workspace = Workspace::new(&format!(
        "[tools]\nenable = [\"aws-api\"]\n[tools.override.aws-api]\ncommand = {server:?}\n"
    ))
    .with("AWS_ENDPOINT_URL", emulator::endpoint())
    .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
    .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
    .with("HTTPS_PROXY", proxy)
    .with("NO_PROXY", "localhost")
    .with("SSL_CERT_FILE", authority)
    .with("REQUESTS_CA_BUNDLE", authority);
    let mut agent = workspace.serve();
    assert!(agent.tools().contains(&"aws-api__call_aws".to_owned()));
    let call = |line: &str| json!({"cli_command": line});
    let reply = agent.done("aws-api__call_aws", call("aws ecs list-services --cluster aws-api"));
    assert!(reply.text().contains("service/aws-api/web"), "{}", reply.text());
    // Three times JSON in JSON, and still nothing comes through.
    let reply = agent.done(
        "aws-api__call_aws",
        call("aws  ecs 'describe-task-definition' --task-definition web"),
    );
    assert!(
        reply.text().contains("DB_PASSWORD") && reply.text().contains("[redacted"),
        "{}",
        reply.text()
    );
    let list = json!({"cli_command": ["aws ecs list-clusters", "aws sts get-caller-identity"]});
    let reply = agent.done("aws-api__call_aws", list);
    assert!(reply.text().contains("federated-user/agent-tester"), "{}", reply.text());
    for (line, why) in [
        ("aws ecs delete-cluster --cluster aws-api", "`aws.ecs.DeleteCluster` may change"),
        ("aws secretsmanager get-secret-value --secret-id x", "reads out a credential"),
        ("aws sts get-session-token", "reads out a credential"),
        ("aws ecs list-clusters --profile other", "leads away"),
        ("aws ecs list-clusters --endpoint-url http://127.0.0.1:1", "leads away"),
        ("aws ecs list-clusters; aws ecs delete-cluster", "cannot be told"),
    ] {
        let said = agent.refused("aws-api__call_aws", call(line));
        assert!(said.contains(why), "{line}: {said}");
    }
    let both = json!({"cli_command": ["aws ecs list-clusters", "aws ecs delete-cluster --cluster aws-api"]});
    assert!(agent.refused("aws-api__call_aws", both).contains("aws.ecs.DeleteCluster"));
    assert_none_of(&["hunter2-in-cli-output", &keys.secret_access_key], &agent.seen(), "replies");
}

#[test]
fn the_managed_server_through_its_signing_proxy() {
    // The managed server needs the internet; the proxy signs for any MCP server over HTTP.
    let remote = Helper::start(
        Command::new(python::proxy().program("python"))
            .args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/remote_server.py")]),
    );
    let keys = emulator::user("managed", &["sts:*"]);
    let server = python::proxy().program("mcp-proxy-for-aws");
    let workspace = Workspace::new(&format!(
        "[session]\nenvironment_fallback = false\n[tools]\nenable = [\"aws\"]\n[tools.override.aws]\n\
         command = {server:?}\nargs = [{:?}, \"--service\", \"aws-mcp\", \"--region\", \"us-east-1\"]\n\
         [integrations.own]\nprovider = \"aws\"\n",
        remote.told
    ))
    .with("AWS_ENDPOINT_URL", emulator::endpoint())
    .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
    .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    // It does not start without credentials, so its tools are not known yet.
    assert!(!agent.tools().iter().any(|name| name.starts_with("aws__")));
    agent.done(
        "set_aws_credentials_context",
        json!({"credentials_json": r#"{"integration":"own"}"#}),
    );
    assert!(agent.tools().contains(&"aws__aws___call_aws".to_owned()), "{}", agent.log());
    let call = |line: &str| json!({"cli_command": line});
    let reply = agent.done("aws__aws___call_aws", call("aws ecs list-clusters"));
    assert!(reply.text().contains("signed: AWS4-HMAC-SHA256"), "{}", reply.text());
    // The remote end repeats the session token that it was shown.
    assert!(reply.text().contains("[redacted: "), "{}", reply.text());
    let said = agent.refused("aws__aws___call_aws", call("aws ecs delete-cluster"));
    assert!(said.contains("`aws.ecs.DeleteCluster`"), "{said}");
    assert_none_of(&[&keys.secret_access_key], &agent.seen(), "replies");
}

#[test]
fn their_tools_can_be_recorded() {
    let keys = emulator::user("recorder", &["sts:*"]);
    let workspace = Workspace::emulated("", &keys);
    let output = workspace
        .subrosa(&["tools", "record", "ecs", "--config", "subrosa.toml", "--out", "."])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recorded = std::fs::read_to_string(workspace.path("ecs.tools.json")).unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/ecs.tools.json");
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    // What is shipped is what the pinned server tells.
    assert_eq!(parse(&recorded), parse(&std::fs::read_to_string(shipped).unwrap()));
    let output =
        workspace.subrosa(&["tools", "list", "--config", "subrosa.toml"]).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        listed.contains("ecs: AWS Labs ECS MCP server") && listed.contains("(7 tools)"),
        "{listed}"
    );
}
