//! The audit log: JSON Lines, each record with the hash of the one before, so that an edit, a gap
//! or a reorder shows. A record is written before what it tells of goes on; if it cannot be
//! written, the call is refused.
//!
//! ```text
//! decided ──▶ issued (a new lease) ──▶ completed
//! ```

mod chain;
mod verify;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

pub use self::{
    chain::AuditError,
    verify::{Broken, Verified, verify},
};
use crate::{
    audit::chain::Chain,
    call::{ActionKind, ToolCall},
    clock,
    lease::Lease,
    policy::{Denial, PermittedCall},
    session::Session,
};

/// The audit log of this process. Several processes may share a file.
#[derive(Debug)]
pub struct AuditLog {
    chain: Mutex<Chain>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The tool answered.
    Answered,
    /// The tool answered with an error, or could not be asked.
    Failed,
    /// The caller took the call back.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// Our own code broke.
    Panicked,
}

/// What is told of a call when it is over.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The size of the reply, in bytes.
    pub bytes: usize,
    /// How many places the redactor blotted out.
    pub redactions: usize,
}

#[derive(Default, Serialize)]
struct Record<'a> {
    event: &'static str,
    principal: String,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<ActionKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redactions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
}

#[derive(Serialize)]
struct LeaseRecord<'a> {
    id: &'a str,
    provider: &'static str,
    source: String,
    region: &'a str,
    /// Whether AWS itself enforces the scope.
    scoped: bool,
    expires_at: String,
    /// No secret; it joins this record with CloudTrail's.
    access_key_id: &'a str,
    identity: &'a str,
}

impl AuditLog {
    /// Opens the log for appending, and makes it if there is none. A line that a crash left
    /// unfinished is closed with a record that tells of it.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        Ok(Self { chain: Mutex::new(Chain::open(path)?) })
    }

    /// A session begins.
    pub fn opened(&self, session: &Session) -> Result<(), AuditError> {
        self.append(&Record { event: "session_opened", ..Record::of(session) })
    }

    /// A session's context and leases are gone.
    pub fn cleared(&self, session: &Session, cause: &'static str) -> Result<(), AuditError> {
        self.append(&Record { event: "session_cleared", cause: Some(cause), ..Record::of(session) })
    }

    /// A call was decided on.
    pub fn decided(&self, decision: &Result<PermittedCall, Box<Denial>>) -> Result<(), AuditError> {
        match decision {
            Ok(permitted) => self.append(&Record {
                event: "decided",
                decision: Some("permit"),
                policy: Some(permitted.policy()),
                scope: Some(permitted.scope().as_str()),
                ..Record::of_call(permitted.call())
            }),
            Err(denial) => self.append(&Record {
                event: "decided",
                decision: Some("deny"),
                policy: Some(denial.policy),
                ..Record::of_call(&denial.call)
            }),
        }
    }

    /// A lease was issued for a call.
    pub fn issued(&self, call: &ToolCall, lease: &Lease) -> Result<(), AuditError> {
        let request = lease.request();
        self.append(&Record {
            event: "issued",
            scope: Some(request.scope.as_str()),
            lease: Some(LeaseRecord {
                id: lease.id(),
                provider: "aws",
                source: request.source.to_string(),
                region: request.region.as_str(),
                scoped: lease.scoped(),
                expires_at: clock::rfc3339_seconds(lease.expires_at()),
                access_key_id: &lease.keys().access_key_id,
                identity: &lease.identity().arn,
            }),
            ..Record::of_call(call)
        })
    }

    /// A call is over; its reply has not left yet.
    pub fn completed(&self, call: &ToolCall, completion: Completion) -> Result<(), AuditError> {
        self.append(&Record {
            event: "completed",
            outcome: Some(completion.outcome),
            took_ms: Some(completion.took.as_millis()),
            bytes: Some(completion.bytes),
            redactions: Some(completion.redactions),
            ..Record::of_call(call)
        })
    }

    fn append(&self, record: &Record<'_>) -> Result<(), AuditError> {
        // The chain holds no half-made state: it asks the file again after any failure.
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).append(record)
    }
}

impl<'a> Record<'a> {
    fn of(session: &Session) -> Self {
        Self {
            principal: session.principal().to_string(),
            session: session.id().to_string(),
            ..Self::default()
        }
    }

    fn of_call(call: &'a ToolCall) -> Self {
        Self {
            correlation: Some(&call.correlation),
            tool: Some(call.tool.to_string()),
            action: Some(&call.action.name),
            kind: Some(call.action.kind),
            resource: call.action.resource.as_deref(),
            ..Self::of(&call.session)
        }
    }
}
