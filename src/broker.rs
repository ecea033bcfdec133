//! The credential broker: short-lived leases for permitted calls, and for nothing else.
//!
//! Leases are kept while they are good, one request at a time is made for each, and a new one is
//! issued ahead of the old one's end. Each use is a permitted call, so a renewal has passed
//! policy too.

mod aws;
mod leases;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::timeout;

pub use self::leases::Leases;
use crate::{
    audit::{AuditError, AuditLog},
    aws::{Aws, Failure},
    config::{Config, environment::UnreadableSecret},
    lease::{Lease, LeaseRequest, LeaseSource, Region},
    name::{IntegrationName, ScopeName},
    policy::PermittedCall,
    redact::Redactor,
    session::{Origin, Session},
};

/// A lease that ends sooner than this is renewed first.
const RENEW_AHEAD: Duration = Duration::from_mins(5);
/// A lease that cannot be renewed is still used if it lives this long.
const LAST_USE: Duration = Duration::from_secs(15);
/// An environment without credentials is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How long an issuance may take, a login by another program included.
const ISSUANCE: Duration = Duration::from_mins(1);

/// Issues leases.
#[derive(Debug)]
pub struct Broker {
    config: Arc<Config>,
    aws: Arc<Aws>,
    audit: Arc<AuditLog>,
    /// When the server's environment was last found to have no credentials.
    nothing_found: Mutex<Option<Instant>>,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Nothing was set, and there is nothing to fall back on.
    #[error(
        "no AWS credentials in this session: call extract_and_set_credentials_from_stack_job, or \
         set_aws_credentials_context with {{\"integration\": \"NAME\"}}"
    )]
    NotSet,
    /// What was set has been cleared.
    #[error(
        "the session's credentials were cleared, by clear_credential_context or after a time \
         without calls: choose them again with extract_and_set_credentials_from_stack_job or \
         set_aws_credentials_context; nothing else is used in their place"
    )]
    Cleared,
    /// Nothing was set, and the server's environment has nothing either.
    #[error(
        "no AWS credentials in this session, and none in the server's own environment: call \
         extract_and_set_credentials_from_stack_job or set_aws_credentials_context, or have the \
         operator log in (`aws configure`, `aws sso login`)"
    )]
    NoneFound,
    /// The integration was configured when the session began, and is not now.
    #[error("integration `{0}` is not configured")]
    UnknownIntegration(IntegrationName),
    /// The integration may not be used with this scope.
    #[error(
        "scope `{scope}` exceeds policy limits of integration `{integration}`: the operator can \
         add it to its `scopes` in subrosa.toml"
    )]
    ScopeExceedsLimits {
        /// The scope.
        scope: ScopeName,
        /// The integration.
        integration: IntegrationName,
    },
    /// The base credential cannot be read.
    #[error("the base credential of {source_name} cannot be read: {hint}")]
    BaseUnavailable {
        /// Whose base credential.
        source_name: String,
        /// What to do.
        hint: String,
    },
    /// A secret reference cannot be read.
    #[error(transparent)]
    Secret(#[from] UnreadableSecret),
    /// A long-lived key that may not be limited.
    #[error(
        "AWS denied sts:GetFederationToken, by which a long-lived key is limited to a scope: allow \
         it for the key's user, or configure an integration with a role_arn"
    )]
    FederationDenied,
    /// AWS said no.
    #[error("{0}")]
    Aws(Failure),
    /// AWS answered without what its API promises.
    #[error("AWS answered {0} without credentials: the endpoint is no working STS")]
    Incomplete(&'static str),
    /// It took too long.
    #[error(
        "{0} gave no credentials within a minute: log in again on the server's machine, or check \
         what `credential_process` and the network do there"
    )]
    TimedOut(LeaseSource),
    /// The issuance cannot be written to the audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl BrokerError {
    /// Whether the session simply has no credentials.
    pub fn means_nothing_set(&self) -> bool {
        matches!(self, Self::NotSet | Self::Cleared | Self::NoneFound)
    }

    /// What to tell a model, with AWS's own words. For redaction, never for a log.
    pub fn words(&self) -> String {
        match self {
            Self::Aws(failure) => failure.words(),
            other => other.to_string(),
        }
    }
}

impl Broker {
    /// A broker for the integrations of a configuration, which tells the audit log of each lease.
    pub fn new(config: Arc<Config>, aws: Arc<Aws>, audit: Arc<AuditLog>) -> Self {
        Self { config, aws, audit, nothing_found: Mutex::default() }
    }

    /// The lease for a permitted call, in the session's region or the one that the call names. A
    /// new one is kept in `leases`; before anyone has it, the redactor has learned its secrets and
    /// those of the base credential, and the audit log holds its issuance.
    pub async fn lease(
        &self,
        permitted: &PermittedCall,
        region: Option<Region>,
        leases: &Leases,
        redactor: &Redactor,
    ) -> Result<Arc<Lease>, Arc<BrokerError>> {
        let session = &permitted.call().session;
        let request = self.request(session, permitted.scope(), region).await?;
        let (slot, asked) = (leases.slot(&request), Instant::now());
        // Held while the lease is issued: whoever else wants it waits for this one.
        let mut held = slot.lock().await;
        if let Some(lease) = held.lease.as_ref().filter(|lease| good(lease)) {
            return Ok(Arc::clone(lease));
        }
        let failed = match held.failed.take().filter(|(at, _)| *at >= asked) {
            // The one that was waited for: asked again it would take as long again.
            Some(failed) => failed,
            None => match Box::pin(self.issue(permitted, request, redactor)).await {
                Ok(lease) => {
                    let lease = Arc::new(lease);
                    held.lease = Some(Arc::clone(&lease));
                    return Ok(lease);
                }
                Err(error) => (Instant::now(), Arc::new(error)),
            },
        };
        let error = Arc::clone(&failed.1);
        held.failed = Some(failed);
        held.lease.take_if(|lease| !lease.outlives(LAST_USE));
        match &held.lease {
            Some(lease) => {
                tracing::warn!(lease = lease.id(), %error, "a lease could not be renewed");
                Ok(Arc::clone(lease))
            }
            None => Err(error),
        }
    }

    async fn request(
        &self,
        session: &Session,
        scope: &ScopeName,
        region: Option<Region>,
    ) -> Result<LeaseRequest, BrokerError> {
        let (source, own_region) = match session.credentials() {
            Some(set) => {
                let source = match set.origin {
                    Origin::Integration(name) => LeaseSource::Integration(name),
                    Origin::Literal(_) => LeaseSource::Literal(set.generation),
                };
                (source, set.region)
            }
            None if session.has_chosen() => return Err(BrokerError::Cleared),
            None if self.config.session.environment_fallback => {
                (LeaseSource::Environment, Box::pin(aws::ambient_region()).await)
            }
            None => return Err(BrokerError::NotSet),
        };
        Ok(LeaseRequest {
            session: session.id().clone(),
            source,
            scope: scope.clone(),
            region: region.unwrap_or(own_region),
        })
    }

    async fn issue(
        &self,
        permitted: &PermittedCall,
        request: LeaseRequest,
        redactor: &Redactor,
    ) -> Result<Lease, BrokerError> {
        let source = request.source.clone();
        // Off EC2 the SDK needs seconds to learn that there is no metadata service.
        if source == LeaseSource::Environment && self.nothing_found_lately() {
            return Err(BrokerError::NoneFound);
        }
        let issuance = aws::Issuance {
            config: &self.config,
            aws: &self.aws,
            audit: &self.audit,
            call: permitted.call(),
            redactor,
        };
        let issued = timeout(ISSUANCE, issuance.issue(request)).await;
        let issued = issued.unwrap_or_else(|_| Err(BrokerError::TimedOut(source)));
        if let Err(BrokerError::NoneFound) = issued {
            *self.nothing_found.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now());
        }
        issued
    }

    fn nothing_found_lately(&self) -> bool {
        let found = self.nothing_found.lock().unwrap_or_else(PoisonError::into_inner);
        found.is_some_and(|at| at.elapsed() < LOOK_AGAIN)
    }
}

/// Keys that are used as they are cannot be renewed, so they are used to their end.
fn good(lease: &Lease) -> bool {
    lease.outlives(if lease.scoped() { RENEW_AHEAD } else { LAST_USE })
}
