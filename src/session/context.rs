//! The credential context: the credentials and the service that a session works with.

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;

use crate::{
    lease::{AwsKeys, Region},
    name::IntegrationName,
};

/// Where the session's credentials come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A configured integration: a reference, no secret.
    Integration(IntegrationName),
    /// Keys that came through the conversation.
    Literal(Arc<LiteralKeys>),
}

/// Keys that came through the conversation.
#[derive(Debug)]
pub struct LiteralKeys {
    /// The keys.
    pub keys: AwsKeys,
    /// When a temporary key ends, where that was said.
    pub expires_at: Option<SystemTime>,
}

/// One credential set.
#[derive(Clone, Debug)]
pub struct CredentialSet {
    /// Where it comes from.
    pub origin: Origin,
    /// The region to work in.
    pub region: Region,
    /// Tells one set of the session from the next.
    pub generation: u64,
}

/// What one session holds. It exists only inside of a session.
#[derive(Debug, Default)]
pub(super) struct CredentialContext {
    credentials: Option<CredentialSet>,
    service: Option<Value>,
    generation: u64,
}

impl CredentialContext {
    pub(super) fn credentials(&self) -> Option<CredentialSet> {
        self.credentials.clone()
    }

    pub(super) fn has_chosen(&self) -> bool {
        self.generation > 0
    }

    pub(super) fn set_credentials(&mut self, origin: Origin, region: Region) {
        self.generation += 1;
        self.credentials = Some(CredentialSet { origin, region, generation: self.generation });
    }

    pub(super) fn service(&self) -> Option<Value> {
        self.service.clone()
    }

    pub(super) fn set_service(&mut self, service: Value) {
        self.service = Some(service);
    }

    pub(super) fn clear(&mut self) {
        self.credentials = None;
        self.service = None;
    }
}
