//! The tools that work on the session itself. Names, arguments and texts are those of the system
//! that this one succeeds; what they never do is show a secret.

mod credentials;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub(super) use self::credentials::CredentialFacts;
use crate::{
    broker::BrokerError, call::RawReply, config::Config, lease::Lease, parse_error,
    redact::Redactor, secret::Secret, session::Session,
};

/// A call of a tool that works on the session itself.
#[derive(Debug)]
pub enum ContextCall {
    /// Gives the session its AWS credentials.
    SetCredentials(SetCredentials),
    /// Shows masked facts of them.
    GetCredentials,
    /// Gives the session the service that it works on.
    SetService(SetService),
    /// Shows it.
    GetService,
    /// Takes the credentials from a stack job.
    ExtractFromStackJob(ExtractFromStackJob),
}

/// What such a tool works with.
pub struct ContextWork<'a> {
    /// The caller's session.
    pub session: &'a Session,
    /// The configuration.
    pub config: &'a Config,
    /// Learns the secrets that the session is given.
    pub redactor: &'a Redactor,
}

/// What `set_aws_credentials_context` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct SetCredentials {
    /// A JSON object: {"integration": NAME, "region"?} for an integration that the operator
    /// configured, or {"access_key_id", "secret_access_key", "session_token"?, "region"?,
    /// "expiration"?} for keys that the user has already put into the conversation.
    #[serde(deserialize_with = "secret_json")]
    #[schemars(with = "String")]
    credentials_json: Secret,
}

/// What `set_service_context_info` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct SetService {
    /// A JSON object with what is known of the service, for instance service_id, cluster, region.
    #[serde(deserialize_with = "secret_json")]
    #[schemars(with = "String")]
    service_info_json: Secret,
}

/// What `extract_and_set_credentials_from_stack_job` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct ExtractFromStackJob {
    /// The stack job as JSON, as Planton Cloud gives it.
    #[serde(deserialize_with = "secret_json")]
    #[schemars(with = "String")]
    stack_job_json: Secret,
}

/// JSON as text, which may hold keys. Models also give it as an object, and mean the same.
fn secret_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(Secret::new(text)),
        object @ Value::Object(_) => Ok(Secret::new(object.to_string())),
        _ => Err(serde::de::Error::custom("invalid type, expected JSON as a string")),
    }
}

#[expect(clippy::disallowed_methods, reason = "it is read here, and what is secret of it kept so")]
fn read<T: DeserializeOwned>(json: &Secret) -> serde_json::Result<T> {
    serde_json::from_str(json.expose_secret())
}

/// What a tool that changes the session says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    /// What was done.
    message: String,
    /// What the user should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl ContextCall {
    /// Whether the tool shows who the lease is, where there is one.
    pub fn shows_lease(&self) -> bool {
        matches!(self, Self::GetCredentials)
    }

    /// Does what the tool does.
    pub fn run(
        self,
        work: &ContextWork<'_>,
        lease: Option<Result<Arc<Lease>, Arc<BrokerError>>>,
    ) -> RawReply {
        match self {
            Self::SetCredentials(wanted) => credentials::set(work, &wanted.credentials_json),
            Self::GetCredentials => credentials::get(work, lease),
            Self::SetService(wanted) => set_service(work, &wanted.service_info_json),
            Self::GetService => match work.session.service() {
                Some(service) => RawReply::data(&service),
                None => RawReply::data(&json!({"error": "No service context found in session"})),
            },
            Self::ExtractFromStackJob(wanted) => credentials::extract(work, &wanted.stack_job_json),
        }
    }
}

/// What `clear_credential_context` says.
pub fn cleared() -> RawReply {
    done("Successfully cleared all credentials and context from session memory", None)
}

fn done(message: impl Into<String>, warning: Option<&str>) -> RawReply {
    let done = Done { message: message.into(), warning: warning.map(str::to_owned) };
    let mut texts = vec![done.message.clone()];
    texts.extend(done.warning.clone().map(|warning| format!("Warning: {warning}")));
    RawReply::blocks(texts, serde_json::to_value(&done).unwrap_or_default())
}

fn refused(message: impl std::fmt::Display) -> RawReply {
    RawReply::error(format!("Error: {message}"))
}

fn invalid_json(error: &serde_json::Error) -> RawReply {
    refused(format!("Invalid JSON format - {}", parse_error::without_values(error)))
}

fn set_service(work: &ContextWork<'_>, json: &Secret) -> RawReply {
    let service: Value = match read(json) {
        Ok(service @ Value::Object(_)) => service,
        Ok(_) => return refused("Invalid JSON format - a JSON object is expected"),
        Err(error) => return invalid_json(&error),
    };
    let id = match service.get("service_id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => String::from("unknown"),
    };
    work.session.set_service(service);
    done(format!("Successfully set service context for: {id}"), None)
}
