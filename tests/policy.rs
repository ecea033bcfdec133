//! Looking is allowed and nothing else, and AWS itself sees to it: the lease's session policy is
//! narrower than the role.

use serde_json::{Value, json};

use crate::support::{emulator, python, workspace::Workspace};

const UPDATE: &str = "ecs:UpdateService";

fn update(cluster: &str, count: u32) -> Value {
    json!({"api_operation": "UpdateService",
        "api_params": {"cluster": cluster, "service": "web", "desiredCount": count}})
}

fn desired(cluster: &str) -> u64 {
    emulator::script(
        r#"tell(client("ecs").describe_services(cluster=given, services=["web"])["services"][0]["desiredCount"])"#,
        &json!(cluster),
    )
}

#[test]
fn a_write_is_denied_before_anything_is_asked_of_aws() {
    let keys = emulator::user("denied", &["sts:*", "ecs:*"]);
    emulator::service("denied", "web", &json!({}));
    let workspace = Workspace::emulated("", &keys);
    let mut agent = workspace.serve();
    for (arguments, why) in [
        (update("denied", 0), "`aws.ecs.UpdateService` may change something"),
        (
            json!({"api_operation": "ExecuteCommand", "api_params": {}}),
            "`aws.ecs.ExecuteCommand` may change",
        ),
        (json!({"api_operation": "describeServices"}), "may change something"),
        (json!({"api_operation": ["ListClusters"]}), "cannot be told from its arguments"),
        (json!({}), "cannot be told from its arguments"),
    ] {
        let said = agent.refused("ecs__ecs_resource_management", arguments);
        assert!(said.starts_with("Denied by policy: ") && said.contains(why), "{said}");
    }
    let said = agent.refused("ecs__delete_app", json!({"service_arn": "x", "app_name": "y"}));
    assert!(said.contains("`ecs-mcp.delete_app`") && said.contains("[[policy.allow]]"), "{said}");
    assert_eq!(desired("denied"), 1);
    assert!(agent.children().is_empty(), "no child was started for a denied call");
    assert!(!workspace.audit().contains("\"event\":\"issued\""), "and no lease issued");
    assert_eq!(workspace.audit().matches("\"decision\":\"deny\"").count(), 6);
}

#[test]
fn a_write_that_the_operator_allows_is_carried_out_with_its_own_scope() {
    let keys = emulator::user("allowed", &["sts:*", "ecs:*"]);
    emulator::service("allowed", "web", &json!({}));
    let workspace = Workspace::emulated(
        r#"
        [scopes.scaling]
        session_policy = "scaling.json"
        [[policy.allow]]
        action = "aws.ecs.UpdateService"
        scope = "scaling"
        [[policy.allow]]
        action = "aws.ecs.DeleteService"
        scope = "scaling"
        [[policy.allow]]
        action = "aws.ecs.StopTask"
        scope = "read-only"
        "#,
        &keys,
    );
    let policy = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": [UPDATE, "ecs:DescribeServices"], "Resource": "*"}]});
    workspace.write("scaling.json", &policy.to_string());
    let mut agent = workspace.serve();
    let reply = agent.done("ecs__ecs_resource_management", update("allowed", 3));
    assert!(!reply.text().contains("AccessDenied"), "{}", reply.text());
    assert_eq!(desired("allowed"), 3);
    // Allowed here, and beyond its scope: AWS refuses.
    let delete = json!({"api_operation": "DeleteService",
        "api_params": {"cluster": "allowed", "service": "web", "force": true}});
    let reply = agent.call("ecs__ecs_resource_management", delete);
    assert!(reply.text().contains("AccessDenied"), "{}", reply.text());
    // Looking goes on in a child of its own, which may not write.
    let writing = agent.children();
    agent.done("ecs__ecs_resource_management", json!({"api_operation": "ListClusters"}));
    let looking: Vec<u32> =
        agent.children().into_iter().filter(|pid| !writing.contains(pid)).collect();
    let may_write = |pids: &[u32]| {
        assert_eq!(pids.len(), 1);
        let environment = std::fs::read(format!("/proc/{}/environ", pids[0])).unwrap();
        String::from_utf8(environment).unwrap().contains("ALLOW_WRITE=true")
    };
    assert!(may_write(&writing) && !may_write(&looking));
    let stop =
        json!({"api_operation": "StopTask", "api_params": {"cluster": "allowed", "task": "x"}});
    let reply = agent.call("ecs__ecs_resource_management", stop);
    assert!(reply.text().contains("AccessDenied"), "{}", reply.text());
    assert_eq!(desired("allowed"), 3);
    let scopes: Vec<_> = workspace
        .audit_records()
        .iter()
        .filter(|record| record["event"] == "issued")
        .map(|record| record["scope"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(scopes, ["scaling", "read-only"]);
}

#[test]
fn an_allowed_write_takes_nothing_else_along() {
    let config = r#"
        [scopes.scaling]
        session_policy = "scaling.json"
        [tools]
        enable = ["aws-api"]
        [tools.override.aws-api]
        command = "/nonexistent"
        [[policy.allow]]
        action = "aws.ecs.UpdateService"
        scope = "scaling"
        "#;
    let workspace = Workspace::new(config);
    workspace.write("scaling.json", r#"{"Version": "2012-10-17", "Statement": []}"#);
    let mut agent = workspace.serve();
    let update = "aws ecs update-service --cluster c --service web --desired-count 0";
    for (command, why) in [
        (json!(format!("{update} --endpoint-url http://127.0.0.1:9")), "leads away from"),
        (json!(format!("{update} --profile other")), "leads away from"),
        (json!(format!("aws --debug {}", &update[4..])), "leads away from"),
        (json!([update, "aws ecs delete-service --cluster c --service web"]), "cannot be told"),
        (json!([update, "aws configure list"]), "reads out a credential"),
        (json!([update, "aws ecs describe-tasks --query x"]), "without the names"),
        (json!(format!("{update}; aws ecs delete-cluster")), "cannot be told"),
    ] {
        let said = agent.refused("aws-api__call_aws", json!({"cli_command": command}));
        assert!(said.starts_with("Denied by policy: ") && said.contains(why), "{said}");
    }
    assert!(!workspace.audit().contains("\"decision\":\"permit\""));
    // All that a list does is in the audit log.
    assert!(workspace.audit().contains("aws.ecs.UpdateService, aws.configure.List"));
    let said = agent.refused("aws-api__call_aws", json!({"cli_command": update}));
    assert!(!said.contains("Denied by policy"), "{said}");
}

#[test]
fn a_tool_server_looks_with_the_scope_of_its_manifest() {
    let keys = emulator::user("manifest", &["sts:*", "ecs:*"]);
    emulator::service("manifest", "web", &json!({}));
    let config = "[scopes.counting]\nsession_policy = \"counting.json\"\n\
                  [tools]\nenable = [\"ecs\", \"narrow\"]\ndir = \"servers\"\n";
    let workspace = Workspace::emulated(config, &keys);
    let policy = json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*"}]});
    workspace.write("counting.json", &policy.to_string());
    let program = python::demo().program("ecs-mcp-server").display().to_string();
    workspace.write(
        "servers/narrow.toml",
        &format!(
            r#"
            description = "a narrow one"
            command = {program:?}
            inherit = ["PATH", "AWS_ENDPOINT_URL"]
            [env]
            FASTMCP_LOG_LEVEL = "ERROR"
            [credentials]
            provider = "aws"
            scope = "counting"
            [actions]
            ecs_resource_management = {{ name = "aws.ecs.{{api_operation}}", read = ["Describe*", "List*"] }}
            "#
        ),
    );
    let mut agent = workspace.serve();
    let tool = "narrow__ecs_resource_management";
    agent.done(tool, json!({"api_operation": "ListClusters"}));
    let describe = json!({"api_operation": "DescribeServices",
        "api_params": {"cluster": "manifest", "services": ["web"]}});
    let reply = agent.call(tool, describe);
    assert!(reply.text().contains("AccessDenied"), "{}", reply.text());
    let issued = workspace.audit_records().into_iter().find(|record| record["event"] == "issued");
    assert_eq!(issued.unwrap()["scope"], "counting");
}

#[test]
fn a_scope_that_an_integration_does_not_allow_is_refused() {
    let keys = emulator::user("scopes", &["sts:AssumeRole"]);
    let role = emulator::role("scopes-role", "scopes", "xid", &["ecs:*"]);
    let workspace = Workspace::emulated(
        &format!(
            r#"
            [integrations.prod]
            provider = "aws"
            role_arn = {role:?}
            external_id = "xid"
            [scopes.scaling]
            session_policy = "scaling.json"
            [[policy.allow]]
            action = "aws.ecs.UpdateService"
            scope = "scaling"
            "#
        ),
        &keys,
    );
    workspace.write("scaling.json", r#"{"Version": "2012-10-17", "Statement": []}"#);
    let mut agent = workspace.serve();
    agent.done(
        "set_aws_credentials_context",
        json!({"credentials_json": r#"{"integration":"prod"}"#}),
    );
    let said = agent.refused("ecs__ecs_resource_management", update("any", 1));
    assert!(said.contains("scope `scaling` exceeds policy limits of integration `prod`"), "{said}");
}

#[test]
fn a_lease_is_narrower_than_the_user_whose_key_it_comes_from() {
    let keys = emulator::user("narrow", &["sts:*", "ecs:*", "secretsmanager:*"]);
    only_looks("", &keys, "narrow");
}

#[test]
fn a_lease_is_narrower_than_the_role_that_it_comes_from() {
    let keys = emulator::user("narrow-role-user", &["sts:AssumeRole"]);
    let actions = ["ecs:*", "secretsmanager:*"];
    let role = emulator::role("narrow-role", "narrow-role-user", "xid", &actions);
    let config = format!(
        "[integrations.prod]\nprovider = \"aws\"\nrole_arn = {role:?}\nexternal_id = \"xid\"\n"
    );
    only_looks(&config, &keys, "narrow-role");
}

/// The user or role may change things and read secrets; its lease may do neither, and AWS itself
/// says so.
fn only_looks(config: &str, keys: &emulator::Keys, name: &str) {
    let secret: String = emulator::script(
        r#"tell(client("secretsmanager").create_secret(Name=given, SecretString="hunter2")["ARN"])"#,
        &json!(name),
    );
    let manifest = "[credentials]\nprovider = \"aws\"\ndelivery = \"environment\"\n";
    let workspace = crate::children::odd_workspace(manifest, config)
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    if !config.is_empty() {
        let prod = json!({"credentials_json": r#"{"integration":"prod"}"#});
        agent.done("set_aws_credentials_context", prod);
    }
    agent.tools();
    agent.done("odd__echo", json!({"text": "x"}));
    let environment = std::fs::read(format!("/proc/{}/environ", agent.children()[0])).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let value = |name: &str| {
        let start = format!("{name}=");
        environment.split('\0').find_map(|entry| entry.strip_prefix(&start)).unwrap().to_owned()
    };
    let lease = json!({"access_key_id": value("AWS_ACCESS_KEY_ID"),
        "secret_access_key": value("AWS_SECRET_ACCESS_KEY"), "session_token": value("AWS_SESSION_TOKEN")});
    let codes: Vec<String> = emulator::script(
        r#"
import botocore
def code(call):
    try:
        call()
        return "done"
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
lease = given["lease"]
tell([
    code(lambda: client("ecs", lease).list_clusters()),
    code(lambda: client("secretsmanager", lease).get_secret_value(SecretId=given["secret"])),
    code(lambda: client("ecs", lease).create_cluster(clusterName="mine")),
])
"#,
        &json!({"lease": lease, "secret": secret}),
    );
    assert_eq!(codes[0], "done");
    assert!(codes[1].contains("AccessDenied") && codes[2].contains("AccessDenied"), "{codes:?}");
}
