//! The tools that work on the session itself. Names, arguments and texts are those of the system
//! that this one succeeds; what they never do is show a secret.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    broker::BrokerError,
    call::RawReply,
    clock,
    config::Config,
    lease::{AwsKeys, Lease, Region, masked_key_id},
    name::IntegrationName,
    parse_error,
    redact::Redactor,
    secret::Secret,
    session::{LiteralKeys, Origin, Session},
    stack_job::{StackJob, StackJobCredential},
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
    /// Forgets everything.
    Clear,
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
    #[serde(deserialize_with = "json_text")]
    credentials_json: String,
}

/// What `set_service_context_info` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct SetService {
    /// A JSON object with what is known of the service, for instance service_id, cluster, region.
    #[serde(deserialize_with = "json_text")]
    service_info_json: String,
}

/// What `extract_and_set_credentials_from_stack_job` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct ExtractFromStackJob {
    /// The stack job as JSON, as Planton Cloud gives it.
    #[serde(deserialize_with = "json_text")]
    stack_job_json: String,
}

/// JSON as text. Models also give it as an object, and mean the same.
fn json_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        object @ Value::Object(_) => Ok(object.to_string()),
        _ => Err(serde::de::Error::custom("invalid type, expected JSON as a string")),
    }
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

/// Masked facts of the session's credentials. No member holds a secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CredentialFacts {
    /// Where they come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The region to work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The access key id that was given, masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    /// The account, once AWS was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The identity, once AWS was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    /// What the leases may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Whether AWS itself enforces that.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope_enforced_by_aws: Option<bool>,
    /// When the present lease ends. It is renewed while it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Whether AWS accepts the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Says that nothing is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ContextCall {
    /// Whether the tool shows who the lease is, where there is one.
    pub fn shows_lease(&self) -> bool {
        matches!(self, Self::GetCredentials)
    }

    /// Whether what was made with the session's credentials must end.
    pub fn clears(&self) -> bool {
        matches!(self, Self::Clear)
    }

    /// Does what the tool does.
    pub fn run(
        self,
        work: &ContextWork<'_>,
        lease: Option<Result<Arc<Lease>, BrokerError>>,
    ) -> RawReply {
        match self {
            Self::SetCredentials(wanted) => set(work, &wanted.credentials_json),
            Self::GetCredentials => get(work, lease),
            Self::SetService(wanted) => set_service(work, &wanted.service_info_json),
            Self::GetService => match work.session.service() {
                Some(service) => RawReply::data(&service),
                None => RawReply::data(&json!({"error": "No service context found in session"})),
            },
            Self::ExtractFromStackJob(wanted) => extract(work, &wanted.stack_job_json),
            Self::Clear => {
                work.session.clear();
                done("Successfully cleared all credentials and context from session memory", None)
            }
        }
    }
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

/// What `set_aws_credentials_context` takes, inside of its JSON.
#[derive(Deserialize)]
struct Credentials {
    integration: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Secret>,
    session_token: Option<Secret>,
    region: Option<String>,
    expiration: Option<String>,
}

fn set(work: &ContextWork<'_>, text: &str) -> RawReply {
    let given: Credentials = match serde_json::from_str(text) {
        Ok(given) => given,
        Err(error) => return invalid_json(&error),
    };
    let region = match given.region.as_deref().filter(|region| !region.is_empty()) {
        None => None,
        Some(region) => match region.parse::<Region>() {
            Ok(region) => Some(region),
            Err(error) => return refused(format!("region: {error}")),
        },
    };
    let (origin, region, warning) = if let Some(name) = &given.integration {
        match integration(work.config, name) {
            Ok((name, own)) => (Origin::Integration(name), region.unwrap_or(own), None),
            Err(refusal) => return refusal,
        }
    } else {
        match literal(work, given) {
            Ok((keys, warning)) => {
                (Origin::Literal(Arc::new(keys)), region.unwrap_or_default(), Some(warning))
            }
            Err(refusal) => return refusal,
        }
    };
    work.session.set_credentials(origin, region.clone());
    let message = format!("Successfully set AWS credentials in context for region: {region}");
    done(message, warning.as_deref())
}

fn integration(config: &Config, name: &str) -> Result<(IntegrationName, Region), RawReply> {
    let known = name.parse::<IntegrationName>().ok();
    let found = known.and_then(|name| config.integrations.get_key_value(&name));
    match found {
        Some((name, integration)) => Ok((name.clone(), integration.region.clone())),
        None => {
            let names: Vec<&str> =
                config.integrations.keys().map(IntegrationName::as_str).collect();
            let known = match names.as_slice() {
                [] => String::from("none is configured in subrosa.toml"),
                names => format!("configured are: {}", names.join(", ")),
            };
            Err(refused(format!("Integration '{name}' is not authorized for this task; {known}")))
        }
    }
}

/// Keys from the conversation, and what the user should know of that.
fn literal(work: &ContextWork<'_>, given: Credentials) -> Result<(LiteralKeys, String), RawReply> {
    let missing = |field: &str| refused(format!("Missing required field '{field}'"));
    let access_key_id =
        given.access_key_id.filter(|id| !id.is_empty()).ok_or_else(|| missing("access_key_id"))?;
    let secret_access_key = given
        .secret_access_key
        .filter(|secret| !secret.is_empty())
        .ok_or_else(|| missing("secret_access_key"))?;
    if !work.config.session.literal_credentials {
        return Err(refused(
            "Keys in the conversation are not accepted here; use {\"integration\": \"NAME\"}",
        ));
    }
    let expires_at = match given.expiration.as_deref() {
        None | Some("") => None,
        Some(text) => Some(
            clock::parse_rfc3339(text).ok_or_else(|| refused("expiration is no RFC 3339 time"))?,
        ),
    };
    let session_token = given.session_token.filter(|token| !token.is_empty());
    let mut recognised = work.redactor.learn("aws secret access key", &secret_access_key);
    if let Some(token) = &session_token {
        recognised &= work.redactor.learn("aws session token", token);
    }
    let mut warning = String::from(
        "these keys have been in the conversation and may be kept with it: rotate them after this \
         work, and use an integration next time",
    );
    if !recognised {
        warning.push_str(
            "; they are shorter than 8 characters, so they cannot be recognised in what tools say",
        );
    }
    let keys = AwsKeys { access_key_id, secret_access_key, session_token };
    Ok((LiteralKeys { keys, expires_at }, warning))
}

fn get(work: &ContextWork<'_>, lease: Option<Result<Arc<Lease>, BrokerError>>) -> RawReply {
    let set = work.session.credentials();
    let mut facts = CredentialFacts {
        source: None,
        region: set.as_ref().map(|set| set.region.to_string()),
        access_key_id: None,
        account: None,
        arn: None,
        scope: None,
        scope_enforced_by_aws: None,
        expires_at: None,
        verified: None,
        problem: None,
        error: None,
    };
    match set.as_ref().map(|set| &set.origin) {
        Some(Origin::Integration(name)) => facts.source = Some(format!("integration {name}")),
        Some(Origin::Literal(literal)) => {
            facts.source = Some("keys given to the session".into());
            facts.access_key_id = Some(masked_key_id(&literal.keys.access_key_id));
        }
        None => facts.source = Some("the server's environment".into()),
    }
    match lease {
        Some(Ok(lease)) => {
            facts.region = Some(lease.request().region.to_string());
            facts.account = Some(lease.identity().account.clone());
            facts.arn = Some(lease.identity().arn.clone());
            facts.scope = Some(lease.request().scope.to_string());
            facts.scope_enforced_by_aws = Some(lease.scoped());
            facts.expires_at = Some(clock::rfc3339_seconds(lease.expires_at()));
            facts.verified = Some(true);
        }
        // Callers look for the word "error" to learn whether anything is set.
        Some(Err(BrokerError::NotSet | BrokerError::NoneFound)) | None => {
            return RawReply::data(
                &json!({"error": "No AWS credentials found in session context"}),
            );
        }
        Some(Err(problem)) => {
            facts.verified = Some(false);
            facts.problem = Some(problem.to_string().replace("error", "fault"));
        }
    }
    RawReply::data(&facts)
}

fn set_service(work: &ContextWork<'_>, text: &str) -> RawReply {
    let service: Value = match serde_json::from_str(text) {
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

fn extract(work: &ContextWork<'_>, text: &str) -> RawReply {
    let cannot =
        |why: &str| refused(format!("Could not extract credentials from stack job: {why}"));
    let job = match StackJob::read(text) {
        Ok(job) => job,
        Err(error) => return cannot(&error.to_string()),
    };
    let configured = match &job.credential {
        StackJobCredential::Id(id) => work.config.integration_by_credential_id(id),
        StackJobCredential::Role(arn) => work.config.integration_by_role(arn),
        StackJobCredential::Keys(_) => None,
    };
    match (job.credential, configured) {
        (_, Some((name, integration))) => {
            let region = job.region.unwrap_or_else(|| integration.region.clone());
            let role = integration.role_arn.as_deref().map(|role| format!(", role {role}"));
            let masked = format!("integration {name}{}, region {region}", role.unwrap_or_default());
            work.session.set_credentials(Origin::Integration(name.clone()), region);
            done(
                format!("Successfully extracted and set AWS credentials in session: {masked}"),
                None,
            )
        }
        (StackJobCredential::Keys(keys), None) => {
            let given = Credentials {
                integration: None,
                access_key_id: Some(keys.access_key_id),
                secret_access_key: Some(keys.secret_access_key),
                session_token: keys.session_token,
                region: None,
                expiration: None,
            };
            let (keys, warning) = match literal(work, given) {
                Ok(literal) => literal,
                Err(refusal) => return refusal,
            };
            let region = job.region.unwrap_or_default();
            let masked =
                format!("key {}, region {region}", masked_key_id(&keys.keys.access_key_id));
            work.session.set_credentials(Origin::Literal(Arc::new(keys)), region);
            done(
                format!("Successfully extracted and set AWS credentials in session: {masked}"),
                Some(&warning),
            )
        }
        (StackJobCredential::Id(id), None) => cannot(&format!(
            "credential `{id}` is not authorized for this task; the operator can add it to \
             credential_ids of an integration in subrosa.toml"
        )),
        (StackJobCredential::Role(arn), None) => cannot(&format!(
            "role {arn} is not authorized for this task; the operator can configure an integration \
             with it as role_arn in subrosa.toml"
        )),
    }
}
