//! Planton Cloud stack jobs: which credential one was deployed with, and in which region. Jobs of
//! every generation of the API are read, in snake case and in camel case.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    lease::{AwsKeys, InvalidRegion, Region},
    parse_error,
    secret::Secret,
};

/// What matters of a stack job.
#[derive(Debug)]
pub struct StackJob {
    /// The credential that it was deployed with.
    pub credential: StackJobCredential,
    /// The region that its target is in, where it says so.
    pub region: Option<Region>,
}

/// How a stack job names its credential.
#[derive(Debug)]
pub enum StackJobCredential {
    /// By id.
    Id(String),
    /// By the role of a provider connection.
    Role(String),
    /// The keys themselves.
    Keys(AwsKeys),
}

/// A stack job that names no credential.
#[derive(Debug, thiserror::Error)]
pub enum StackJobError {
    /// The text is no JSON.
    #[error("it is no JSON ({0})")]
    Syntax(String),
    /// It is JSON, and no stack job.
    #[error("it is no JSON object")]
    NoObject,
    /// No credential is named where one is expected.
    #[error(
        "no credential is named at spec.provider_credential_id, \
         spec.essentials.provider_credential_info.id, provider_credential or provider_connection"
    )]
    NoCredential,
    /// The region is none.
    #[error("the target's region is {0}")]
    Region(#[from] InvalidRegion),
}

impl StackJob {
    /// Reads a stack job.
    pub fn read(json: &Secret) -> Result<Self, StackJobError> {
        #[expect(clippy::disallowed_methods, reason = "it is read here, keys of it as secrets")]
        let job: Value = serde_json::from_str(json.expose_secret())
            .map_err(|error| StackJobError::Syntax(parse_error::without_values(&error)))?;
        let job = snake_case(job);
        if !job.is_object() {
            return Err(StackJobError::NoObject);
        }
        let region =
            REGIONS.iter().find_map(|path| text_at(&job, path)).map(str::parse).transpose()?;
        let credential = credential(&job).ok_or(StackJobError::NoCredential)?;
        Ok(Self { region: region.or_else(|| inline_region(&job)), credential })
    }
}

/// Where a credential's id stands, in the order of the API's generations.
const IDS: [&str; 6] = [
    "/spec/provider_credential_id",
    "/spec/essentials/provider_credential_info/id",
    "/spec/provider_connection_id",
    "/spec/essentials/provider_connection_info/id",
    "/provider_credential_id",
    "/provider_credential_info/id",
];

/// Where a credential or connection stands whole.
const INLINE: [&str; 6] = [
    "/provider_credential",
    "/spec/provider_credential",
    "/spec/essentials/provider_credential",
    "/provider_connection",
    "/spec/provider_connection",
    "/spec/essentials/provider_connection",
];

/// Where the target's region stands.
const REGIONS: [&str; 4] = [
    "/spec/target/spec/aws_account_region",
    "/spec/cloud_resource/spec/aws_account_region",
    "/spec/cloud_resource/spec/target/spec/aws_account_region",
    "/spec/cloud_resource/spec/region",
];

fn credential(job: &Value) -> Option<StackJobCredential> {
    let id = IDS.iter().find_map(|path| text_at(job, path));
    id.map(|id| StackJobCredential::Id(id.to_owned()))
        .or_else(|| INLINE.iter().find_map(|path| inline(job.pointer(path)?)))
}

/// A credential or connection that stands in the job: its keys, its role, or its id.
fn inline(value: &Value) -> Option<StackJobCredential> {
    #[derive(Deserialize)]
    struct Keys {
        access_key_id: String,
        secret_access_key: Secret,
        session_token: Option<Secret>,
    }
    let spec = value.get("spec").unwrap_or(value);
    if let Ok(keys) = Keys::deserialize(spec) {
        return Some(StackJobCredential::Keys(AwsKeys {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        }));
    }
    let role = text_at(spec, "/iam_role_arn")
        .or_else(|| text_at(spec, "/cross_account_trust/iam_role_arn"));
    if let Some(role) = role {
        return Some(StackJobCredential::Role(role.to_owned()));
    }
    let id = text_at(value, "/metadata/id").or_else(|| text_at(value, "/id"));
    id.map(|id| StackJobCredential::Id(id.to_owned()))
}

/// The region of a credential that stands in the job; a target's region comes before it.
fn inline_region(job: &Value) -> Option<Region> {
    INLINE.iter().find_map(|path| {
        let value = job.pointer(path)?;
        let region = text_at(value, "/spec/region").or_else(|| text_at(value, "/region"))?;
        region.parse().ok()
    })
}

fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str().filter(|text| !text.is_empty())
}

/// All keys in snake case, which is what protobuf's JSON has when asked for the original names.
fn snake_case(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (snake(&key), snake_case(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(snake_case).collect()),
        other => other,
    }
}

fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(job: &Value) -> (String, Option<String>) {
        let job = StackJob::read(&Secret::new(job.to_string())).unwrap();
        let credential = match job.credential {
            StackJobCredential::Id(id) => id,
            StackJobCredential::Role(arn) => arn,
            StackJobCredential::Keys(keys) => keys.access_key_id,
        };
        (credential, job.region.map(|region| region.to_string()))
    }

    #[test]
    fn every_generation_is_read() {
        let none = None::<String>;
        let west = Some(String::from("us-west-2"));
        for (job, expected) in [
            (
                json!({"spec": {"provider_credential_id": "c1",
                "target": {"spec": {"aws_account_region": "us-west-2"}}}}),
                ("c1", &west),
            ),
            (
                json!({"spec": {"providerCredentialId": "c1",
                "target": {"spec": {"awsAccountRegion": "us-west-2"}}}}),
                ("c1", &west),
            ),
            (
                json!({"spec": {"essentials": {"provider_credential_info":
                {"kind": "aws", "name": "n", "id": "c2"}}, "cloud_resource": {"spec": {}}},
                "status": {"progress": {"status": "completed"}}}),
                ("c2", &none),
            ),
            (
                json!({"spec": {"essentials": {"providerCredentialInfo": {"id": "c2"}},
                "cloudResource": {"spec": {"region": "us-west-2"}}}}),
                ("c2", &west),
            ),
            (
                json!({"provider_credential": {"metadata": {"id": "c3"}, "spec": {"account_id": "1"}}}),
                ("c3", &none),
            ),
            (
                json!({"providerCredential": {"spec": {"accessKeyId": "AKIA_TEST",
                "secretAccessKey": "s", "region": "us-west-2"}}}),
                ("AKIA_TEST", &west),
            ),
            (
                json!({"spec": {"essentials": {"provider_connection_info": {"id": "c4"}}}}),
                ("c4", &none),
            ),
            (
                json!({"spec": {"providerConnection": {"spec": {"iamRoleArn": "arn:aws:iam::1:role/r",
                "externalId": "x"}}}}),
                ("arn:aws:iam::1:role/r", &none),
            ),
        ] {
            assert_eq!(read(&job), (expected.0.to_owned(), expected.1.clone()), "{job}");
        }
    }

    #[test]
    fn what_is_no_stack_job_is_told() {
        let said = |text: &str| StackJob::read(&Secret::new(text.into())).unwrap_err().to_string();
        assert!(said("{").starts_with("it is no JSON ("));
        assert_eq!(said("[]"), "it is no JSON object");
        assert!(
            said(r#"{"spec":{"provider_credential_id":""}}"#).starts_with("no credential is named")
        );
        assert!(
            said(r#"{"spec":{"provider_credential_id":7}}"#).starts_with("no credential is named")
        );
        let odd = r#"{"spec":{"provider_credential_id":"c","target":{"spec":{"aws_account_region":"../x"}}}}"#;
        assert!(said(odd).starts_with("the target's region is not an AWS region"));
    }
}
