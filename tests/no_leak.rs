//! Nothing secret reaches the client, the log or the audit file: planted secrets that the real
//! Python server really prints, keys from the conversation, and what a lying child makes of its
//! lease.

use serde_json::{Value, json};

use crate::support::{agent::Era, aws::assert_none_of, emulator, workspace::Workspace};

const PLANTED: [(&str, &str); 4] = [
    ("DB_PASSWORD", "hunter2-environment-value"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("DATABASE_URL", "postgres://app:hunter2-in-dsn@db:5432/x"),
    ("STRIPE", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
];

const SECRETS: [&str; 4] = [
    "hunter2-environment-value",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "hunter2-in-dsn",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
];

#[test]
fn what_the_real_server_prints_is_blotted_out() {
    let environment: serde_json::Map<String, Value> =
        PLANTED.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let environment = Value::Object(environment);
    let keys = emulator::user("no-leak", &["sts:*", "ecs:*", "logs:*"]);
    emulator::service("no-leak", "leaky", &environment);
    for era in [Era::Legacy, Era::Modern] {
        // Every log line that there is.
        let workspace = Workspace::emulated("", &keys).with("SUBROSA_LOG", "trace");
        let mut agent = workspace.agent(era);
        let definition = json!({"api_operation": "DescribeTaskDefinition", "api_params": {"taskDefinition": "leaky"}});
        let reply = agent.done("ecs__ecs_resource_management", definition);
        // The child printed them: their places are there.
        assert!(reply.text().contains("DB_PASSWORD") && reply.text().contains("[redacted: "));
        assert!(reply.text().contains("postgres://app:[redacted: password in a url]@db:5432/x"));
        assert_none_of(&SECRETS, &agent.seen(), "replies");
        assert_none_of(&SECRETS, &workspace.audit(), "the audit log");
        assert_none_of(&SECRETS, &agent.log(), "the log");
        assert_none_of(&[&keys.secret_access_key], &agent.seen(), "replies");
    }
}

/// The odd child, with a lease in its environment.
fn odd(keys: &emulator::Keys) -> Workspace {
    crate::children::odd_workspace(
        r#"
        [credentials]
        provider = "aws"
        delivery = "environment"
        "#,
        "",
    )
    .with("AWS_ENDPOINT_URL", emulator::endpoint())
    .with("AWS_ACCESS_KEY_ID", &keys.access_key_id)
    .with("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
}

/// The secrets of the lease, as the child has them in its environment.
fn lease_of(child: u32) -> Vec<String> {
    let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let value = |name: &str| {
        let start = format!("{name}=");
        environment.split('\0').find_map(|entry| entry.strip_prefix(&start)).unwrap().to_owned()
    };
    vec![value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN")]
}

#[test]
fn a_child_cannot_pass_its_lease_on() {
    let keys = emulator::user("odd", &["sts:*", "ecs:*"]);
    let workspace = odd(&keys).with("SUBROSA_LOG", "trace");
    let mut agent = workspace.serve();
    agent.done("odd__echo", json!({"text": "hello"}));
    let secrets = lease_of(agent.children()[0]);
    let known: Vec<&str> = secrets.iter().map(String::as_str).collect();

    // The child prints its whole environment, and the model sees the shape of it.
    let shown = agent.done("odd__environment", json!({}));
    assert!(shown.text().contains("AWS_SESSION_TOKEN"), "{}", shown.text());
    for secret in &known {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(format!("key {secret}"));
        let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        let json = json!({"inner": json!({"inner": secret}).to_string()}).to_string();
        let half: String = secret.chars().take(20).collect();
        for text in [*secret, &base64, &hex, &json, &half] {
            // Text, raw bytes of the frame, characters by number, and errors.
            agent.call("odd__echo", json!({"text": text}));
            agent.call("odd__escape", json!({"text": text}));
            agent.call("odd__leak_in_error", json!({"text": text}));
        }
        agent.call("odd__raw", json!({"text": secret.replace('/', "\\/")}));
        assert!(!agent.seen().contains(&half));
    }
    // What its tools are said to do, and its last words.
    let listed = agent.request("tools/list", json!({})).to_string();
    assert!(listed.contains("odd [redacted: aws session token]"), "{listed}");
    let said = agent.refused("odd__die", json!({"text": secrets[0]}));
    assert!(said.contains("last words: [redacted: aws secret access key]"), "{said}");
    assert_none_of(&known, &agent.seen(), "replies");
    assert_none_of(&known, &agent.log(), "the log");
    assert_none_of(&known, &workspace.audit(), "the audit log");
    let unescaped: Vec<String> = agent
        .seen()
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["result"]["content"][0]["text"].to_string()
        })
        .collect();
    assert_none_of(&known, &unescaped.join("\n"), "replies with their escapes undone");
}

#[test]
fn keys_from_the_conversation_are_not_repeated() {
    let workspace = crate::children::odd_workspace("", "").with("SUBROSA_LOG", "trace");
    let mut agent = workspace.serve();
    let keys = json!({"access_key_id": "AKIA_TEST", "secret_access_key": "only-twelve1",
        "session_token": "a-token-from-the-conversation-0123456789",
        "expiration": "2001-01-01T00:00:00Z"});
    agent.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
    for secret in ["only-twelve1", "a-token-from-the-conversation-0123456789"] {
        agent.call("odd__echo", json!({"text": format!("it is {secret}.")}));
        agent.call("odd__escape", json!({"text": secret}));
        agent.call(
            "set_service_context_info",
            json!({"service_info_json": json!({"service_id": secret}).to_string()}),
        );
        agent.call("get_service_context_info", json!({}));
        agent.call("ecs_list_services", json!({"cluster": secret, secret: 1}));
        agent.call(secret, json!({}));
        agent.call("odd__protocol_error", json!({"cluster": secret}));
    }
    let secrets = ["only-twelve1", "a-token-from-the-conversation-0123456789"];
    assert_none_of(&secrets, &agent.seen(), "replies");
    assert_none_of(&secrets, &agent.log(), "the log");
    assert_none_of(&secrets, &workspace.audit(), "the audit log");
}

#[test]
fn a_tool_s_name_is_no_way_into_the_audit_log() {
    let workspace = crate::children::odd_workspace("", "");
    let mut agent = workspace.serve();
    let secret = "a-secret-that-could-be-a-name-0123456789";
    let keys = json!({"access_key_id": "AKIA_TEST", "secret_access_key": secret});
    agent.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
    // Before its tools are known, any name may be one of them.
    agent.call(&format!("odd__{secret}"), json!({}));
    assert!(workspace.audit().contains("odd__["), "{}", workspace.audit());
    assert_none_of(&[secret], &workspace.audit(), "the audit log");
    assert_none_of(&[secret], &agent.seen(), "replies");
}

#[test]
fn a_lease_that_lives_on_after_a_clearing_does_not_come_out() {
    let keys = emulator::user("cleared-lease", &["sts:*", "ecs:*"]);
    let workspace = odd(&keys);
    let mut agent = workspace.serve();
    agent.done("odd__echo", json!({"text": "hello"}));
    let secrets = lease_of(agent.children()[0]);
    agent.done("clear_credential_context", json!({}));
    for secret in &secrets {
        agent.done("odd__echo", json!({"text": secret}));
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    assert_none_of(&secrets, &agent.seen(), "replies");
}

#[test]
fn what_a_tool_says_cannot_choose_what_is_blotted_out_afterwards() {
    let workspace = crate::children::odd_workspace("", "");
    let mut agent = workspace.serve();
    agent.tools();
    let said = |text: &str| json!({"text": format!("login password={text}")});
    for poison in
        ["'\"isError\":false'", "'\"inputSchema\":{\"'", "\"content\"", "'[{\"type\":\"text\"'"]
    {
        agent.call("odd__echo", said(poison));
    }
    // Nor how long it takes to look for it.
    agent.call("odd__echo", said(&"Aa1!".repeat(1024)));
    agent.call("odd__echo", said(&"Aa1!bCd".repeat(30)));
    for text in ["Aa1!".repeat(50_000), "Aa1!bCd".repeat(50_000), "token=".repeat(100_000)] {
        agent.done("odd__echo", json!({"text": text}));
    }
    assert_eq!(agent.done("odd__echo", json!({"text": "clean"})).text(), "clean");
    agent.done("clear_credential_context", json!({}));
    assert!(agent.tools().contains(&"odd__echo".to_owned()));
}

#[test]
fn a_value_in_the_wrong_place_is_not_repeated() {
    let workspace = Workspace::new("[tools]\nenable = []").with("SUBROSA_LOG", "trace");
    let mut agent = workspace.serve();
    let secret = "A-Secret/Nobody+Knows=Yet";
    for arguments in [
        json!({"credentials_json": [secret]}),
        json!({"credentials_json": format!("{{\"access_key_id\": {secret}")}),
        json!({"credentials_json": json!({"access_key_id": {"x": secret}}).to_string()}),
        json!({"credentials_json": json!({"access_key_id": "A", "secret_access_key": secret, "region": secret}).to_string()}),
        json!({"credentials_json": json!({"access_key_id": "A", "secret_access_key": secret, "expiration": secret}).to_string()}),
    ] {
        let reply = agent.call("set_aws_credentials_context", arguments);
        assert!(reply.failed());
    }
    agent.refused("ecs_task_logs", json!({"cluster": "c", "task": "t", "lines": secret}));
    agent.refused("ecs_list_clusters", json!({"region": {"x": secret}}));
    agent.refused(
        "extract_and_set_credentials_from_stack_job",
        json!({"stack_job_json": format!("{{{secret}")}),
    );
    assert_none_of(&[secret], &agent.seen(), "replies");
    assert_none_of(&[secret], &agent.log(), "the log");
    assert_none_of(&[secret], &workspace.audit(), "the audit log");
}
