//! The shape of `subrosa.toml`, as it is written. [`super::Config`] is what it means.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::value::MapAccessDeserializer};

use super::Base;
use crate::{
    lease::{Delivery, Region},
    name::{IntegrationName, ScopeName, ServerName},
    secret::SecretRef,
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) integrations: BTreeMap<IntegrationName, Integration>,
    pub(super) scopes: BTreeMap<ScopeName, Scope>,
    pub(super) session: Session,
    pub(super) lease: Lease,
    pub(super) policy: Policy,
    pub(super) tools: Tools,
    pub(super) audit: Audit,
    pub(super) limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Integration {
    #[expect(dead_code, reason = "one provider so far; the key says so in the file")]
    provider: Provider,
    #[serde(default)]
    pub(super) credential_ids: Vec<String>,
    pub(super) role_arn: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) region: Option<Region>,
    #[serde(default)]
    pub(super) base: Base,
    pub(super) scopes: Option<Vec<ScopeName>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Provider {
    Aws,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    pub(super) session_policy: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Session {
    #[serde(deserialize_with = "duration")]
    pub(super) idle_timeout: Duration,
    pub(super) literal_credentials: bool,
    pub(super) environment_fallback: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_hours(1),
            literal_credentials: true,
            environment_fallback: true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lease {
    #[serde(deserialize_with = "duration")]
    pub(super) duration: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self { duration: Duration::from_mins(15) }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) allow: Vec<Allow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    pub(super) action: String,
    pub(super) scope: ScopeName,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tools {
    pub(super) enable: Option<Vec<ServerName>>,
    pub(super) dir: Option<PathBuf>,
    #[serde(rename = "override")]
    pub(super) overrides: BTreeMap<ServerName, Override>,
}

/// What a user changes of a tool server's manifest without copying it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// The program to start instead.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// Variables to add to its environment.
    pub env: BTreeMap<String, String>,
    /// How long one call may take.
    #[serde(deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// How it gets its credentials.
    pub delivery: Option<Delivery>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub(super) file: Option<PathBuf>,
}

/// Sizes and times that bound a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest message taken from the client, in bytes.
    pub request_bytes: usize,
    /// The largest message taken from a tool server, in bytes.
    pub reply_bytes: usize,
    /// How many calls may be under way at once.
    pub calls: usize,
    /// How long a call of a native tool may take.
    #[serde(deserialize_with = "duration")]
    pub native_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 20,
            // TypeScript clients close the connection at a line of 10 MiB.
            reply_bytes: 10 << 20,
            calls: 256,
            native_timeout: Duration::from_mins(1),
        }
    }
}

/// A duration with its unit, as in `"15m"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| serde::de::Error::custom("not a duration: write it as `60s`, `15m` or `1h`"))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            access_key_id: SecretRef,
            secret_access_key: SecretRef,
            session_token: Option<SecretRef>,
        }

        struct StringOrTable;
        impl<'de> serde::de::Visitor<'de> for StringOrTable {
            type Value = Base;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`environment`, `profile:NAME`, or a table of the secret references \
                     `access_key_id` and `secret_access_key`",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Base, E> {
                match text.split_once(':') {
                    None if text == "environment" => Ok(Base::Environment),
                    Some(("profile", name)) if !name.is_empty() => {
                        Ok(Base::Profile(name.to_owned()))
                    }
                    // Not repeated: it may be a key.
                    _ => Err(E::custom(
                        "not a base credential: it is `environment`, `profile:NAME`, or a table \
                         of the secret references `access_key_id` and `secret_access_key`",
                    )),
                }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Base, A::Error> {
                let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Base::Keys {
                    access_key_id: keys.access_key_id,
                    secret_access_key: keys.secret_access_key,
                    session_token: keys.session_token,
                })
            }
        }
        deserializer.deserialize_any(StringOrTable)
    }
}
