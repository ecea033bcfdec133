//! A lease: a short-lived credential issued for one session and scope, and what was asked for.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer};

use crate::{
    clock,
    ids::SessionId,
    name::{IntegrationName, ScopeName},
    secret::Secret,
};

/// An AWS access key. The key id is no secret; the other two parts are.
#[derive(Debug)]
pub struct AwsKeys {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token; absent for a long-lived key.
    pub session_token: Option<Secret>,
}

/// The first four and last four characters of a key id, which is all that is ever shown of it.
pub fn masked_key_id(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    match chars.as_slice() {
        [head @ .., d, c, b, a] if chars.len() >= 12 => {
            let head: String = head.iter().take(4).collect();
            format!("{head}…{d}{c}{b}{a}")
        }
        short => {
            let head: String = short.iter().take(short.len().min(8) / 2).collect();
            format!("{head}…")
        }
    }
}

/// An AWS region's name. There is one default, `us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region(Arc<str>);

/// A text that cannot be a region's name.
#[derive(Debug, thiserror::Error)]
#[error("not an AWS region: a region's name looks like `us-east-1`")]
pub struct InvalidRegion;

impl Region {
    /// The region's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Region {
    fn default() -> Self {
        Self("us-east-1".into())
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, InvalidRegion> {
        // The name becomes part of a host name, so only what a DNS label may hold gets through.
        let good = (3..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if good { Ok(Self(text.into())) } else { Err(InvalidRegion) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a lease may do.
#[derive(Clone, Debug)]
pub struct Scope {
    session_policy: Arc<str>,
}

impl Scope {
    /// A scope, by the AWS session policy (a JSON document) that it compiles to.
    pub fn new(session_policy: impl Into<Arc<str>>) -> Self {
        Self { session_policy: session_policy.into() }
    }

    /// The AWS session policy: what the lease may do at most, whatever its role may.
    pub fn session_policy(&self) -> &str {
        &self.session_policy
    }
}

/// How a tool server gets its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// From a loopback endpoint that speaks the container credentials protocol, so that a renewed
    /// lease is picked up without a restart and no secret stands in the environment.
    #[default]
    Endpoint,
    /// In the `AWS_*` variables of its environment; it is started anew when the lease is renewed.
    Environment,
}

/// Which base credential a lease comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseSource {
    /// A configured integration.
    Integration(IntegrationName),
    /// Keys that the session was given; the number tells one set of keys from the next.
    Literal(u64),
    /// The server's own surroundings: the AWS SDK's default chain.
    Environment,
}

impl fmt::Display for LeaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integration(name) => write!(f, "integration `{name}`"),
            Self::Literal(_) => f.write_str("keys given to the session"),
            Self::Environment => f.write_str("the server's environment"),
        }
    }
}

/// All that tells two leases apart: two requests share a lease only if every field is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRequest {
    /// The session it is for, and through it the principal.
    pub session: SessionId,
    /// Where the base credential comes from.
    pub source: LeaseSource,
    /// The scope's name.
    pub scope: ScopeName,
    /// The region that the work is in.
    pub region: Region,
}

/// Who AWS says the lease is, asked once (`GetCallerIdentity`).
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account's twelve digits.
    pub account: String,
    /// The ARN of the assumed role, federated user or user.
    pub arn: String,
}

impl Identity {
    /// The identity that an ARN names (`arn:aws:sts::123456789012:assumed-role/…`, AWS General
    /// Reference, "Amazon Resource Names").
    pub(crate) fn from_arn(arn: String) -> Option<Self> {
        let account = arn.split(':').nth(4)?.to_owned();
        Some(Self { account, arn })
    }
}

/// A short-lived credential. Dropping the last reference wipes it.
#[derive(Debug)]
pub struct Lease {
    id: String,
    request: LeaseRequest,
    keys: AwsKeys,
    expires_at: SystemTime,
    identity: Identity,
    scoped: bool,
}

impl Lease {
    /// A lease that a broker has issued. `scoped` is false where AWS could not be asked to limit
    /// it: keys that were temporary already are used as they are.
    pub(crate) fn new(
        id: String,
        request: LeaseRequest,
        keys: AwsKeys,
        expires_at: SystemTime,
        identity: Identity,
        scoped: bool,
    ) -> Self {
        Self { id, request, keys, expires_at, identity, scoped }
    }

    /// The same lease, with the identity that AWS gave when asked with it.
    pub(crate) fn identified(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// The lease's own id, as it stands in the audit log.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was issued for.
    pub fn request(&self) -> &LeaseRequest {
        &self.request
    }

    /// The credential.
    pub fn keys(&self) -> &AwsKeys {
        &self.keys
    }

    /// When AWS stops to accept it.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Who AWS says it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether AWS itself enforces the scope.
    pub fn scoped(&self) -> bool {
        self.scoped
    }

    /// Whether it will still be good after `margin`.
    pub fn outlives(&self, margin: Duration) -> bool {
        clock::until(self.expires_at) > margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_masked() {
        assert_eq!(masked_key_id("AKIAIOSFODNN7EXAMPLE"), "AKIA…MPLE");
        assert_eq!(masked_key_id("AKIA_TEST"), "AKIA…");
        assert_eq!(masked_key_id("test"), "te…");
        assert_eq!(masked_key_id(""), "…");
    }

    #[test]
    fn a_region_is_a_host_label() {
        for good in ["us-east-1", "ap-southeast-2", "us-gov-west-1", "cn-north-1"] {
            assert!(good.parse::<Region>().is_ok());
        }
        for bad in ["", "US-EAST-1", "us-east-1.evil.com", "us east", "x/", "us-east-", "1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }
}
