//! What all sessions of a process share.

use std::sync::Arc;

use crate::{
    audit::{AuditError, AuditLog},
    aws::Aws,
    broker::Broker,
    config::{Config, ConfigError},
    policy::PolicyDecisionPoint,
    toolserver::ToolServers,
};

/// What all sessions of a process share.
#[derive(Debug)]
pub struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) policy: PolicyDecisionPoint,
    pub(super) broker: Broker,
    pub(super) audit: Arc<AuditLog>,
    pub(super) servers: Arc<ToolServers>,
    pub(super) aws: Arc<Aws>,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Shared {
    /// Sets up what a configuration describes. Nothing is asked of AWS yet.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let aws = Arc::new(Aws::default());
        let audit = Arc::new(AuditLog::open(&config.audit_file)?);
        Ok(Self {
            policy: PolicyDecisionPoint::new(&config),
            broker: Broker::new(Arc::clone(&config), Arc::clone(&aws), Arc::clone(&audit)),
            audit,
            servers: Arc::new(ToolServers::new(&config)?),
            config,
            aws,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tool servers.
    pub fn servers(&self) -> &Arc<ToolServers> {
        &self.servers
    }
}
