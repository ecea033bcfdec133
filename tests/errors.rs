//! Bad input and broken surroundings: each ends in one clear answer, and neither the server nor
//! the context is lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    agent::{Agent, Era},
    emulator,
    workspace::Workspace,
};

fn workspace() -> Workspace {
    Workspace::new("[tools]\nenable = [\"ecs\"]\n[session]\nenvironment_fallback = false")
        .with("AWS_ENDPOINT_URL", emulator::endpoint())
}

fn keep(agent: &mut Agent) {
    agent
        .done("set_service_context_info", json!({"service_info_json": r#"{"service_id":"kept"}"#}));
}

#[track_caller]
fn goes_on(agent: &mut Agent) {
    let service = agent.done("get_service_context_info", json!({}));
    assert_eq!(service.data()["service_id"], "kept");
}

#[test]
fn a_profile_that_does_not_exist_is_named() {
    let workspace = Workspace::new("[tools]\nenable = []").with("AWS_PROFILE", "opps");
    workspace.write(
        "home/.aws/credentials",
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\n",
    );
    let mut agent = workspace.serve();
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("profile `opps` is not in the AWS configuration files"), "{said}");
}

#[test]
fn a_call_without_a_name_is_told_so() {
    let workspace = Workspace::new("[tools]\nenable = []");
    let mut agent = workspace.serve();
    for params in [json!({}), json!({"name": 1}), json!({"name": "x", "arguments": []})] {
        let id = agent.begin("tools/call", params);
        let answer = agent.answer(id);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("needs `name`"), "{answer}");
    }
}

#[test]
fn lines_that_are_no_requests() {
    for era in [Era::Legacy, Era::Modern] {
        let workspace = workspace();
        let mut agent = workspace.agent(era);
        keep(&mut agent);
        for line in [
            "this is no JSON",
            "{\"jsonrpc\":\"2.0\",\"id\":1,",
            "\u{0}\u{1}\u{2}",
            "{\"jsonrpc\":\"2.0\",\"id\":5,\"id\":6,\"method\":\"tools/list\"}",
            "[]",
            "null",
            "\"text\"",
        ] {
            agent.send_raw(line.as_bytes());
            let complaint = agent.next();
            assert_eq!(complaint["error"]["code"], -32700, "{line}: {complaint}");
        }
        agent.send_raw(b"\xff\xfe");
        assert_eq!(agent.next()["error"]["code"], -32700);
        // Answers to nothing, and notifications of nothing, are passed over.
        agent.send_raw(br#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
        agent.send_raw(br#"{"jsonrpc":"2.0","method":"notifications/unheard"}"#);
        agent.send_raw(
            br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}"#,
        );
        agent.send_raw(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#);
        agent.send_raw(b"");
        goes_on(&mut agent);
    }
}

#[test]
fn requests_of_the_wrong_form() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    keep(&mut agent);
    let unheard = agent.request("no/such/method", json!({}));
    assert_eq!(unheard["error"]["code"], -32601, "{unheard}");
    for params in
        [json!({}), json!({"name": 7}), json!({"name": "x", "arguments": [1]}), json!([1])]
    {
        let answer = agent.request("tools/call", params.clone());
        assert!(answer["error"].is_object(), "{params}: {answer}");
    }
    for method in ["prompts/list", "resources/list", "resources/templates/list"] {
        let answer = agent.request(method, json!({}));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    goes_on(&mut agent);
}

#[test]
fn before_the_handshake() {
    let workspace = workspace();
    let mut command = workspace.subrosa(&["serve", "--config", "subrosa.toml"]);
    let mut agent = Agent::connect(&mut command, Era::Legacy);
    agent.send_raw(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    agent.send_raw(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    let early = agent.request("tools/call", json!({"name": "ecs__ecs_resource_management", "arguments": {"api_operation": "ListClusters"}}));
    assert!(early["error"]["message"].as_str().unwrap().contains("_meta"), "{early}");
    let early = agent.request("tools/list", json!({}));
    assert!(early["error"].is_object(), "{early}");
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    assert!(agent.request("initialize", hello)["result"].is_object());
    keep(&mut agent);
    goes_on(&mut agent);
}

#[test]
fn tools_and_arguments_that_there_are_not() {
    for era in [Era::Legacy, Era::Modern] {
        let workspace = workspace();
        let mut agent = workspace.agent(era);
        keep(&mut agent);
        for tool in [
            "no_such_tool",
            "ecs__no_such_tool",
            "other__tool",
            "__",
            "ecs__",
            "",
            "ecs_list_clusters ",
        ] {
            let reply = agent.call(tool, json!({}));
            assert_eq!(reply.0["error"]["code"], -32602, "{tool}: {}", reply.0);
            assert!(reply.text().contains("unknown tool"), "{}", reply.text());
        }
        let said = agent.refused("ecs_list_services", json!({}));
        assert_eq!(said, "missing argument `cluster`");
        let said = agent.refused("ecs_list_services", json!({"cluster": 7}));
        assert!(
            said.starts_with("argument `cluster`: invalid type: integer, expected a string"),
            "{said}"
        );
        let said =
            agent.refused("ecs_list_services", json!({"cluster": "c", "regoin": "us-east-1"}));
        assert!(
            said.contains("unknown argument `regoin`") && said.ends_with("did you mean `region`?"),
            "{said}"
        );
        let said = agent.refused("ecs_list_clusters", json!({"region": "not a region"}));
        assert!(said.contains("argument `region`: not an AWS region"), "{said}");
        let said = agent.refused("clear_credential_context", json!({"really": true}));
        assert!(said.contains("unknown argument `really`"), "{said}");
        goes_on(&mut agent);
    }
}

#[test]
fn an_argument_of_ten_megabytes() {
    for era in [Era::Legacy, Era::Modern] {
        let workspace = workspace();
        let mut agent = workspace.agent(era);
        keep(&mut agent);
        let long = "x".repeat(10 << 20);
        let id = agent.begin_call("ecs_list_services", json!({"cluster": long}));
        let answer = agent.answer(id);
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("more than the 4194304 that are taken"), "{answer}");
        // Within the limit it is only too long for AWS.
        let long = "x".repeat(3 << 20);
        let info =
            json!({"service_info_json": json!({"service_id": "kept", "x": long}).to_string()});
        agent.done("set_service_context_info", info);
        goes_on(&mut agent);
    }
}

#[test]
fn a_flood_of_calls() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    keep(&mut agent);
    let ids: Vec<u64> =
        (0..2000).map(|_| agent.begin_call("get_service_context_info", json!({}))).collect();
    for id in ids {
        let answer = agent.answer(id);
        assert_eq!(answer["result"]["structuredContent"]["service_id"], "kept", "{answer}");
    }
    goes_on(&mut agent);
    assert_eq!(workspace.verified().torn, 0);
}

#[test]
fn credentials_that_aws_refuses() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    keep(&mut agent);
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("no AWS credentials in this session: call extract_and"), "{said}");
    let said =
        agent.refused("ecs__ecs_resource_management", json!({"api_operation": "ListClusters"}));
    assert!(said.contains("no AWS credentials in this session"), "{said}");
    let mut with = |keys: Value| {
        agent.done("set_aws_credentials_context", json!({"credentials_json": keys.to_string()}));
        let said = agent.refused("ecs_list_clusters", json!({}));
        goes_on(&mut agent);
        said
    };
    let said = with(
        json!({"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}),
    );
    assert!(
        said.contains(
            "AWS does not accept the credentials (InvalidClientTokenId at sts:GetFederationToken)"
        ),
        "{said}"
    );
    let real = emulator::user("refused", &["sts:*"]);
    let said = with(
        json!({"access_key_id": real.access_key_id, "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}),
    );
    assert!(said.contains("AWS does not accept the credentials (SignatureDoesNotMatch"), "{said}");
    let said = with(
        json!({"access_key_id": "ASIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session_token": "made-up-session-token"}),
    );
    assert!(said.contains("AWS does not accept the credentials"), "{said}");
    let poor = emulator::user("poor", &["ecs:*"]);
    let said = with(
        json!({"access_key_id": poor.access_key_id, "secret_access_key": poor.secret_access_key}),
    );
    assert!(
        said.contains("AWS denied sts:GetFederationToken") && said.contains("role_arn"),
        "{said}"
    );
}

#[test]
fn a_role_that_cannot_be_assumed() {
    let keys = emulator::user("assumer", &["sts:AssumeRole"]);
    let role = emulator::role("assumed", "assumer", "right", &["ecs:*"]);
    let workspace = Workspace::emulated(
        &format!(
            "[integrations.wrong]\nprovider = \"aws\"\nrole_arn = {role:?}\nexternal_id = \"wrong\"\n\
             [integrations.gone]\nprovider = \"aws\"\nrole_arn = \"arn:aws:iam::123456789012:role/gone\"\n\
             [integrations.unset]\nprovider = \"aws\"\nbase = {{ access_key_id = \"env:NOT_SET\", secret_access_key = \"env:NOT_SET\" }}\n\
             [integrations.profile]\nprovider = \"aws\"\nbase = \"profile:nobody\"\n"
        ),
        &keys,
    );
    let mut agent = workspace.serve();
    keep(&mut agent);
    let mut with = |name: &str| {
        let given = json!({"integration": name}).to_string();
        agent.done("set_aws_credentials_context", json!({"credentials_json": given}));
        let said = agent.refused("ecs_list_clusters", json!({}));
        goes_on(&mut agent);
        said
    };
    let said = with("wrong");
    assert!(said.contains("AWS denied sts:AssumeRole (AccessDenied)"), "{said}");
    let said = with("gone");
    assert!(said.contains("sts:AssumeRole"), "{said}");
    let said = with("unset");
    assert!(said.contains("secret reference `env:NOT_SET` cannot be read"), "{said}");
    let said = with("profile");
    assert!(said.contains("the base credential of"), "{said}");
}

#[test]
fn aws_out_of_reach() {
    let workspace = Workspace::new("[tools]\nenable = []")
        .with("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "test");
    let mut agent = workspace.serve();
    keep(&mut agent);
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("AWS could not be reached for sts:GetFederationToken"), "{said}");
    assert!(said.contains("AWS_ENDPOINT_URL"), "{said}");
    goes_on(&mut agent);
}

#[test]
fn one_service_out_of_reach() {
    let keys = emulator::user("one-service", &["sts:*", "ecs:*"]);
    let workspace =
        Workspace::emulated("", &keys).with("AWS_ENDPOINT_URL_ECS", "http://127.0.0.1:9");
    let mut agent = workspace.serve();
    let said = agent.refused("ecs_list_clusters", json!({}));
    assert!(said.contains("AWS could not be reached for ecs:ListClusters"), "{said}");
    let shown = agent.done("get_aws_credentials_context", json!({}));
    assert_eq!(shown.data()["verified"], true);
}

#[test]
fn an_endpoint_that_is_no_aws() {
    for body in
        ["hello", "<html></html>", "<GetFederationTokenResponse></GetFederationTokenResponse>"]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            for mut stream in listener.incoming().flatten() {
                let mut buffer = [0; 8192];
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let _ = stream.read(&mut buffer);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        let workspace = Workspace::new("[tools]\nenable = []")
            .with("AWS_ENDPOINT_URL", &endpoint)
            .with("AWS_ACCESS_KEY_ID", "test")
            .with("AWS_SECRET_ACCESS_KEY", "test");
        let mut agent = workspace.serve();
        keep(&mut agent);
        let said = agent.refused("ecs_list_clusters", json!({}));
        assert!(said.contains("sts:GetFederationToken"), "{said}");
        goes_on(&mut agent);
    }
}
