//! How a child gets its lease: by the loopback endpoint, and by its environment, both with the real
//! Python server; and what the endpoint tells to whom.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    children::odd_workspace,
    support::{agent::Agent, emulator, workspace::Workspace},
};

/// A role that may do more than look, behind an integration.
fn integration(name: &str) -> (String, emulator::Keys) {
    let keys = emulator::user(name, &["sts:AssumeRole"]);
    let role = emulator::role(&format!("{name}-role"), name, "xid", &["ecs:*", "logs:*"]);
    let config = format!(
        "[integrations.prod]\nprovider = \"aws\"\ncredential_ids = [\"prod\"]\n\
         role_arn = {role:?}\nexternal_id = \"xid\"\n"
    );
    (config, keys)
}

fn extract(agent: &mut Agent) {
    let job = json!({"spec": {"provider_credential_id": "prod"}}).to_string();
    agent.done("extract_and_set_credentials_from_stack_job", json!({"stack_job_json": job}));
}

fn environment_of(pid: u32) -> Vec<(String, String)> {
    let text = String::from_utf8(std::fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
    let pairs = text.split('\0').filter_map(|entry| entry.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn value<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

#[test]
fn by_the_endpoint_with_the_real_server() {
    let (config, keys) = integration("by-endpoint");
    let workspace = Workspace::emulated(&config, &keys);
    let mut agent = workspace.serve();
    extract(&mut agent);
    let list = json!({"api_operation": "ListClusters"});
    let reply = agent.done("ecs__ecs_resource_management", list.clone());
    assert!(reply.text().contains("clusterArns"), "{}", reply.text());
    // No secret in the environment of the child, and none of the server's own.
    let environment = environment_of(agent.children()[0]);
    assert!(value(&environment, "AWS_SECRET_ACCESS_KEY").is_none());
    assert!(value(&environment, "AWS_SESSION_TOKEN").is_none());
    assert_eq!(value(&environment, "AWS_REGION"), Some("us-east-1"));
    assert_eq!(value(&environment, "AWS_SHARED_CREDENTIALS_FILE"), Some("/dev/null"));
    assert!(
        value(&environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    // AWS sees the assumed role, named after the session.
    let shown = agent.done("get_aws_credentials_context", json!({}));
    let arn = shown.data()["arn"].as_str().unwrap();
    assert!(arn.contains(":assumed-role/by-endpoint-role/agent-tester-"), "{arn}");
    // One lease for all calls.
    agent.done("ecs__ecs_resource_management", list);
    assert_eq!(workspace.audit().matches("\"event\":\"issued\"").count(), 1);
}

#[test]
fn by_the_environment_with_the_real_server() {
    let (config, keys) = integration("by-environment");
    let server = crate::support::python::demo().program("ecs-mcp-server");
    let config = format!(
        "{config}\n[tools.override.ecs]\ncommand = {server:?}\ndelivery = \"environment\"\n"
    );
    let workspace = Workspace::new(&config)
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    extract(&mut agent);
    let list = json!({"api_operation": "ListClusters"});
    let reply = agent.done("ecs__ecs_resource_management", list);
    assert!(reply.text().contains("clusterArns"), "{}", reply.text());
    let environment = environment_of(agent.children()[0]);
    let secret = value(&environment, "AWS_SECRET_ACCESS_KEY").unwrap();
    assert_ne!(secret, keys.secret_access_key, "the base credential stays with the server");
    assert!(value(&environment, "AWS_SESSION_TOKEN").is_some());
    assert!(value(&environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI").is_none());
    assert!(!agent.seen().contains(secret));
}

#[test]
fn a_change_of_credentials_reaches_children_that_run() {
    let workspace = Workspace::emulated("", &emulator::user("change", &["sts:*", "ecs:*"]));
    let mut agent = workspace.serve();
    let list = json!({"api_operation": "ListClusters"});
    agent.done("ecs__ecs_resource_management", list.clone());
    let first = agent.children();
    // Other keys, which may do nothing: AWS itself must refuse them in the child.
    let powerless = emulator::user("powerless", &["sts:*"]);
    let keys = json!({"access_key_id": powerless.access_key_id,
        "secret_access_key": powerless.secret_access_key});
    agent.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
    let reply = agent.call("ecs__ecs_resource_management", list);
    assert!(reply.text().contains("AccessDenied"), "{}", reply.text());
    // Nothing that the first child remembers of the other account may reach into this one.
    let second = agent.children();
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
}

/// Asks an endpoint as an SDK would, or not quite.
fn ask(uri: &str, path: Option<&str>, headers: &[(&str, &str)], method: &str) -> (u16, Value) {
    ask_on(TcpStream::connect(parts(uri).0).unwrap(), uri, path, headers, method)
}

/// Address and path.
fn parts(uri: &str) -> (&str, &str) {
    let rest = uri.strip_prefix("http://").unwrap();
    rest.split_at(rest.find('/').unwrap())
}

fn ask_on(
    mut stream: TcpStream,
    uri: &str,
    path: Option<&str>,
    headers: &[(&str, &str)],
    method: &str,
) -> (u16, Value) {
    let (address, own_path) = parts(uri);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = format!("{method} {} HTTP/1.1\r\n", path.unwrap_or(own_path));
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn the_endpoint_gives_nothing_once_the_context_is_cleared() {
    let keys = emulator::user("cleared-endpoint", &["sts:*"]);
    let workspace = odd_workspace("[credentials]\nprovider = \"aws\"\n", "")
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    agent.tools();
    agent.done("odd__echo", json!({"text": "x"}));
    let environment = environment_of(agent.children()[0]);
    let uri = value(&environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap().to_owned();
    let token = value(&environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN").unwrap().to_owned();
    // Connected before, and asking afterwards.
    let early = TcpStream::connect(parts(&uri).0).unwrap();
    assert_eq!(ask(&uri, None, &[("Authorization", &token)], "GET").0, 200);
    agent.done("clear_credential_context", json!({}));
    let (status, said) = ask_on(early, &uri, None, &[("Authorization", &token)], "GET");
    assert_eq!(status, 403, "{said}");
    assert_eq!(said["code"], "LeaseEnded");
    assert!(TcpStream::connect(parts(&uri).0).is_err(), "it does not listen any more");
}

#[test]
fn the_endpoint_gives_the_lease_to_its_child_and_to_nobody_else() {
    let (config, keys) = integration("endpoint");
    let workspace = odd_workspace("[credentials]\nprovider = \"aws\"\n", &config)
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
        .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    let mut agent = workspace.serve();
    extract(&mut agent);
    agent.tools();
    agent.done("odd__echo", json!({"text": "x"}));
    let environment = environment_of(agent.children()[0]);
    let uri = value(&environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap().to_owned();
    let token = value(&environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN").unwrap().to_owned();

    let (status, first) = ask(&uri, None, &[("Authorization", &token)], "GET");
    assert_eq!(status, 200);
    let expiration = subrosa::clock::parse_rfc3339(first["Expiration"].as_str().unwrap()).unwrap();
    let ahead = subrosa::clock::until(expiration);
    assert!(ahead > Duration::ZERO && ahead < Duration::from_mins(10), "{ahead:?}");
    for _ in 0..5 {
        let (_, again) = ask(&uri, None, &[("Authorization", &token)], "GET");
        for part in ["AccessKeyId", "SecretAccessKey", "Token"] {
            assert_eq!(again[part], first[part], "the same triple each time");
        }
    }
    let secret = first["SecretAccessKey"].as_str().unwrap();
    let wrong = format!("{token}x");
    let authorized = ("Authorization", &*token);
    for (status, answer) in [
        ask(&uri, None, &[], "GET"),
        ask(&uri, None, &[("Authorization", "")], "GET"),
        ask(&uri, None, &[("Authorization", &wrong)], "GET"),
        ask(&uri, None, &[("Authorization", &token[1..])], "GET"),
        ask(&uri, Some("/"), &[authorized], "GET"),
        ask(&uri, Some("/credentials"), &[authorized], "GET"),
        ask(&uri, None, &[authorized], "POST"),
        ask(&uri, None, &[authorized, ("Host", "evil.example")], "GET"),
        ask(&uri, None, &[authorized, ("Host", "localhost")], "GET"),
    ] {
        assert!((400..500).contains(&status), "{status} {answer}");
        assert!(!answer.to_string().contains(secret), "{answer}");
    }
    // It listens on the loopback interface alone, and dies with the session.
    assert!(uri.starts_with("http://127.0.0.1:"));
    agent.done("clear_credential_context", json!({}));
    let address = uri.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    crate::support::eventually("the endpoint is gone", || TcpStream::connect(&address).is_err());
}

#[test]
fn a_lease_that_has_ended_is_renewed_or_told() {
    // Keys that end in a few seconds, as they come from AWS.
    // An emulator of its own: another's sessions would make it forget the expired one.
    let own = emulator::start();
    let keys: emulator::Keys = emulator::script_on(
        &own,
        r#"
iam, account = client("iam"), client("sts").get_caller_identity()["Account"]
role = iam.create_role(RoleName="brief", AssumeRolePolicyDocument=policy(
    {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}))["Role"]["Arn"]
iam.put_role_policy(RoleName="brief", PolicyName="p", PolicyDocument=policy(allow("ecs:*", "sts:*")))
import botocore
sts = boto3.client("sts", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="test",
    aws_secret_access_key="test", config=botocore.config.Config(parameter_validation=False))
c = sts.assume_role(RoleArn=role, RoleSessionName="brief", DurationSeconds=4)["Credentials"]
tell({"access_key_id": c["AccessKeyId"], "secret_access_key": c["SecretAccessKey"], "session_token": c["SessionToken"]})
"#,
        &json!({}),
    );
    let workspace = Workspace::new("[tools]\nenable = []\n[session]\nenvironment_fallback = false")
        .with("AWS_ENDPOINT_URL", own.endpoint());
    let mut agent = workspace.serve();
    let given = json!({"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key,
        "session_token": keys.session_token});
    agent.done("set_aws_credentials_context", json!({"credentials_json": given.to_string()}));
    agent.done("ecs_list_clusters", json!({}));
    let shown = agent.done("get_aws_credentials_context", json!({}));
    assert_eq!(shown.data()["scope_enforced_by_aws"], false, "AWS cannot limit a temporary key");
    std::thread::sleep(Duration::from_secs(5));
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("the credentials have expired (ExpiredToken"), "{said}");
    assert!(said.contains("set new ones"), "{said}");
    // The session goes on with new ones.
    let given = json!({"access_key_id": "test", "secret_access_key": "test"});
    agent.done("set_aws_credentials_context", json!({"credentials_json": given.to_string()}));
    agent.done("ecs_list_clusters", json!({}));
}
