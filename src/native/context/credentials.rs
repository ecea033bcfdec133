//! Credentials go into the session, and masked facts of them come out.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ContextWork, done, invalid_json, read, refused};
use crate::{
    broker::BrokerError,
    call::RawReply,
    clock,
    config::Config,
    lease::{AwsKeys, Lease, Region, masked_key_id},
    name::IntegrationName,
    secret::Secret,
    session::{LiteralKeys, Origin},
    stack_job::{StackJob, StackJobCredential},
};

/// Masked facts of the session's credentials. No member holds a secret.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::native) struct CredentialFacts {
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

pub(super) fn set(work: &ContextWork<'_>, json: &Secret) -> RawReply {
    let given: Credentials = match read(json) {
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
    if given.integration.is_some() && given.secret_access_key.is_some() {
        return refused("Give either an integration or keys, not both; nothing was set");
    }
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
            let known = configured(config);
            Err(refused(format!("Integration '{name}' is not authorized for this task; {known}")))
        }
    }
}

fn configured(config: &Config) -> String {
    let names: Vec<&str> = config.integrations.keys().map(IntegrationName::as_str).collect();
    match names.as_slice() {
        [] => String::from(
            "no integration is configured: the operator can add [integrations.NAME] to subrosa.toml",
        ),
        names => format!("configured are: {}", names.join(", ")),
    }
}

/// Keys from the conversation, and what the user should know of that.
fn literal(work: &ContextWork<'_>, given: Credentials) -> Result<(LiteralKeys, String), RawReply> {
    let missing = |field: &str| refused(format!("Missing required field '{field}'"));
    let no_keys = given.secret_access_key.is_none();
    let access_key_id = given.access_key_id.filter(|id| !id.is_empty()).ok_or_else(|| {
        if no_keys {
            let known = configured(work.config);
            return refused(format!("Neither {{\"integration\": \"NAME\"}} nor keys; {known}"));
        }
        missing("access_key_id")
    })?;
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
    // AWS's have 40 characters, and some hundred to a few thousand.
    let too_long = secret_access_key.len() > 256
        || session_token.as_ref().is_some_and(|token| token.len() > 16 << 10);
    if too_long {
        return Err(refused("These are no AWS keys: they are too long"));
    }
    let redactor = work.redactor;
    // To the end of the context: what the caller says of their end need not be so.
    let mut recognised = redactor.learn("aws secret access key", &secret_access_key);
    if let Some(token) = &session_token {
        recognised &= redactor.learn("aws session token", token);
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

pub(super) fn get(
    work: &ContextWork<'_>,
    lease: Option<Result<Arc<Lease>, Arc<BrokerError>>>,
) -> RawReply {
    let set = work.session.credentials();
    let mut facts = CredentialFacts {
        region: set.as_ref().map(|set| set.region.to_string()),
        ..CredentialFacts::default()
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
        None => return nothing_set(),
        Some(Err(problem)) if problem.means_nothing_set() => return nothing_set(),
        Some(Err(problem)) => {
            facts.verified = Some(false);
            // Something is set, so that word must not stand here.
            facts.problem = Some(problem.to_string().replace("error", "fault"));
        }
    }
    RawReply::data(&facts)
}

fn nothing_set() -> RawReply {
    RawReply::data(&json!({"error": "No AWS credentials found in session context"}))
}

pub(super) fn extract(work: &ContextWork<'_>, json: &Secret) -> RawReply {
    let cannot =
        |why: &str| refused(format!("Could not extract credentials from stack job: {why}"));
    let job = match StackJob::read(json) {
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
