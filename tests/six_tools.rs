//! The six tools of the system that this one succeeds: names, arguments and texts are kept, and the
//! getter shows no secret.

use serde_json::{Value, json};

use crate::support::{
    agent::{Agent, Era},
    workspace::Workspace,
};

const CLOSED: &str = "http://127.0.0.1:9";

fn workspace() -> Workspace {
    Workspace::new(
        r#"
        [session]
        environment_fallback = false
        [tools]
        enable = []
        [integrations.prod]
        provider = "aws"
        credential_ids = ["awscred-prod"]
        region = "us-west-2"
        base = { access_key_id = "env:PROD_KEY", secret_access_key = "env:PROD_SECRET" }
        [integrations.linked]
        provider = "aws"
        role_arn = "arn:aws:iam::111111111111:role/AgentTriage"
        base = { access_key_id = "env:PROD_KEY", secret_access_key = "env:PROD_SECRET" }
        "#,
    )
    .with("AWS_ENDPOINT_URL", CLOSED)
    .with("PROD_KEY", "AKIAIOSFODNN7EXAMPLE")
    .with("PROD_SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
}

fn set(agent: &mut Agent, credentials: &Value) -> crate::support::agent::Reply {
    agent.call("set_aws_credentials_context", json!({"credentials_json": credentials.to_string()}))
}

fn get(agent: &mut Agent) -> Value {
    let reply = agent.done("get_aws_credentials_context", json!({}));
    let parsed: Value = serde_json::from_str(reply.first()).unwrap();
    assert_eq!(parsed, *reply.data());
    parsed
}

#[test]
fn keys_are_set_with_a_warning_and_shown_masked() {
    for era in [Era::Legacy, Era::Modern] {
        let workspace = workspace();
        let mut agent = workspace.agent(era);
        let keys = json!({"access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret_access_key": "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
            "session_token": "IQoJb3JpZ2luX2VjEXAMPLETOKENEXAMPLETOKEN", "region": "us-west-2"});
        let reply = set(&mut agent, &keys);
        assert_eq!(
            reply.first(),
            "Successfully set AWS credentials in context for region: us-west-2"
        );
        assert!(reply.text().contains("rotate them"), "{}", reply.text());
        let shown = get(&mut agent);
        assert_eq!(shown["access_key_id"], "AKIA…MPLE");
        assert_eq!(shown["region"], "us-west-2");
        // AWS is out of reach, which is told without the word that callers look for.
        assert_eq!(shown["verified"], false);
        assert!(shown["problem"].as_str().unwrap().contains("AWS could not be reached"));
        assert!(!shown.to_string().contains("error"));
        for secret in ["je7MtGbClwBF", "IQoJb3JpZ2lu", "AKIAIOSFODNN7EXAMPLE"] {
            assert!(!agent.seen().contains(secret) && !agent.log().contains(secret));
        }
    }
}

#[test]
fn test_values_are_usable_and_the_default_region_is_one() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    let keys = json!({"access_key_id": "AKIA_TEST", "secret_access_key": "secret_test"});
    let reply = set(&mut agent, &keys);
    assert_eq!(reply.first(), "Successfully set AWS credentials in context for region: us-east-1");
    assert_eq!(get(&mut agent)["access_key_id"], "AKIA…");
    let keys = json!({"access_key_id": "test", "secret_access_key": "test"});
    assert!(set(&mut agent, &keys).text().contains("cannot be recognised"));
    // An object is understood as well as its text.
    let keys = json!({"credentials_json": {"access_key_id": "AKIA_TEST", "secret_access_key": "secret_test"}});
    agent.done("set_aws_credentials_context", keys);
}

#[test]
fn what_cannot_be_set_is_told_in_the_words_of_old() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    let mut said = |credentials: &Value| {
        let reply = set(&mut agent, credentials);
        assert!(reply.failed());
        reply.text()
    };
    let without_id = json!({"secret_access_key": "x"});
    assert_eq!(said(&without_id), "Error: Missing required field 'access_key_id'");
    let neither = said(&json!({"integraton": "prod"}));
    assert!(neither.contains("Neither {\"integration\"") && neither.contains("prod"), "{neither}");
    let without_secret = json!({"access_key_id": "AKIA_TEST"});
    assert_eq!(said(&without_secret), "Error: Missing required field 'secret_access_key'");
    let strange = json!({"access_key_id": "A", "secret_access_key": "s", "region": "../evil"});
    assert!(said(&strange).contains("region: not an AWS region"));
    let unknown = said(&json!({"integration": "other"}));
    assert!(
        unknown.contains("'other' is not authorized for this task; configured are: linked, prod"),
        "{unknown}"
    );
    let text = json!({"credentials_json": "{not json"});
    let said = agent.refused("set_aws_credentials_context", text);
    assert!(said.starts_with("Error: Invalid JSON format - "), "{said}");
    // Nothing of this has set anything.
    assert!(get(&mut agent).get("error").is_some());
}

#[test]
fn the_probe_for_an_empty_context_works() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    let empty = json!({"error": "No AWS credentials found in session context"});
    assert_eq!(get(&mut agent), empty);
    let service = agent.done("get_service_context_info", json!({}));
    assert_eq!(service.first(), r#"{"error":"No service context found in session"}"#);
}

#[test]
fn the_service_is_kept_and_all_is_cleared() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    let mut keep =
        |info: &str| agent.call("set_service_context_info", json!({"service_info_json": info}));
    assert_eq!(
        keep(r#"{"service_id": "svc-1", "cluster": "prod"}"#).first(),
        "Successfully set service context for: svc-1"
    );
    assert_eq!(
        keep(r#"{"cluster":"prod"}"#).first(),
        "Successfully set service context for: unknown"
    );
    assert!(keep("{").text().starts_with("Error: Invalid JSON format - "));
    assert!(keep("[1]").text().contains("a JSON object is expected"));
    let kept = agent.done("get_service_context_info", json!({}));
    assert_eq!(kept.first(), r#"{"cluster":"prod"}"#);
    agent.done(
        "set_aws_credentials_context",
        json!({"credentials_json": r#"{"integration":"prod"}"#}),
    );
    let cleared = agent.done("clear_credential_context", json!({}));
    assert_eq!(
        cleared.first(),
        "Successfully cleared all credentials and context from session memory"
    );
    assert!(get(&mut agent).get("error").is_some());
    assert!(agent.done("get_service_context_info", json!({})).data().get("error").is_some());
}

#[test]
fn stack_jobs_lead_to_integrations() {
    let workspace = workspace();
    let mut agent = workspace.serve();
    let mut extract = |job: &Value| {
        let job = json!({"stack_job_json": job.to_string()});
        agent.call("extract_and_set_credentials_from_stack_job", job)
    };
    let job = json!({"spec": {"provider_credential_id": "awscred-prod",
        "target": {"spec": {"aws_account_region": "eu-west-1"}}}});
    assert_eq!(
        extract(&job).first(),
        "Successfully extracted and set AWS credentials in session: integration prod, region eu-west-1"
    );
    let job = json!({"spec": {"essentials": {"providerCredentialInfo": {"id": "awscred-prod"}}}});
    assert!(extract(&job).first().ends_with("integration prod, region us-west-2"));
    let job = json!({"spec": {"provider_connection": {"spec": {
        "iam_role_arn": "arn:aws:iam::111111111111:role/AgentTriage", "external_id": "x"}}}});
    assert!(
        extract(&job)
            .first()
            .contains("integration linked, role arn:aws:iam::111111111111:role/AgentTriage")
    );
    let job = json!({"provider_credential": {"spec": {"access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", "region": "ap-south-1"}}});
    let inline = extract(&job);
    assert!(
        inline.first().ends_with("session: key AKIA…MPLE, region ap-south-1"),
        "{}",
        inline.text()
    );
    assert!(inline.text().contains("rotate them"));
    for (job, why) in [
        (
            json!({"spec": {"provider_credential_id": "awscred-other"}}),
            "`awscred-other` is not authorized",
        ),
        (
            json!({"spec": {"provider_connection": {"spec": {"iam_role_arn": "arn:aws:iam::1:role/x"}}}}),
            "role arn:aws:iam::1:role/x is not authorized",
        ),
        (json!({"spec": {}}), "no credential is named"),
        (json!([]), "no JSON object"),
    ] {
        let said = extract(&job);
        assert!(said.failed());
        let text = said.text();
        assert!(text.starts_with("Error: Could not extract credentials from stack job"), "{text}");
        assert!(text.contains(why), "{text}");
    }
    assert!(!agent.seen().contains("je7MtGbClwBF"));
}

#[test]
fn keys_in_the_conversation_can_be_refused() {
    let workspace = Workspace::new("[session]\nliteral_credentials = false\n[tools]\nenable = []");
    let mut agent = workspace.serve();
    let keys = json!({"access_key_id": "AKIA_TEST", "secret_access_key": "secret_test"});
    let reply = set(&mut agent, &keys);
    assert!(reply.failed() && reply.text().contains("not accepted here"), "{}", reply.text());
}
