//! The way of every call, in one place:
//!
//! ```text
//! ToolCall ─▶ decided (policy, audit) ─▶ Lease ─▶ RawReply ─▶ Redacted<Reply> ─▶ completed (audit)
//! ```
//!
//! Whatever fails on the way, the answer says so and went through the redactor; without an audit
//! record nothing is done and nothing is said.

mod shared;

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::shared::{Shared, StartError};
use crate::{
    audit::{AuditError, Completion, Outcome},
    broker::BrokerError,
    call::{Action, ActionKind, RawReply, Reply, ToolCall, ToolName},
    lease::{Lease, Region},
    name::ServerName,
    native::{ContextWork, NativeCall, NativeTool},
    policy::PermittedCall,
    redact::{Redacted, Redactor},
    session::Session,
    toolserver::{Children, Manifest, ToolServerError},
};

/// Tool servers that are asked for their tools before they have been recorded get this long.
const DISCOVERY: Duration = Duration::from_secs(30);

/// One session's way through policy, broker, tools and redactor.
pub struct Enforcement {
    shared: Arc<Shared>,
    session: Arc<Session>,
    redactor: Arc<Redactor>,
    children: Arc<Children>,
    /// Cancelled, and replaced, when the context is cleared: what was begun before must not go on.
    epoch: Mutex<CancellationToken>,
}

/// What a tool's name leads to.
enum Target {
    Native(NativeTool),
    Served(Arc<Manifest>, String),
}

impl Enforcement {
    /// Opens the way for a session.
    pub fn open(shared: Arc<Shared>, session: Arc<Session>) -> Result<Self, AuditError> {
        shared.audit.opened(&session)?;
        let redactor = Arc::new(Redactor::default());
        let children = Children::new(Arc::clone(&shared.servers), Arc::clone(&redactor));
        Ok(Self {
            shared,
            session,
            redactor,
            children: Arc::new(children),
            epoch: Mutex::default(),
        })
    }

    /// What all sessions share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether a name leads to a tool server, so that its reply may pass as bytes.
    pub fn is_served(&self, tool: &str) -> bool {
        matches!(self.target(tool), Some(Target::Served(..)))
    }

    /// Makes a call. `None` if it was cancelled: then nobody waits for an answer.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        cancelled: &CancellationToken,
    ) -> Option<Redacted<Reply>> {
        let call = caught(self.enforce(tool, arguments, cancelled)).await;
        call.unwrap_or_else(|defect| Some(self.redactor.reply(RawReply::error(defect.to_string()))))
    }

    async fn enforce(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        cancelled: &CancellationToken,
    ) -> Option<Redacted<Reply>> {
        let _under_way = self.session.begin_call();
        let mut epoch = self.epoch();
        let Some(target) = self.target(tool) else {
            // MCP specification, "Error handling" of tools: an unknown tool is a protocol error.
            let unknown = format!("unknown tool `{tool}`: tools/list names those that there are");
            return Some(self.redactor.reply(RawReply::protocol_error(-32602, unknown)));
        };
        let decision = self.shared.policy.decide(self.tool_call(&target, arguments));
        if let Err(error) = self.shared.audit.decided(&decision) {
            return Some(self.unaudited(&error));
        }
        let permitted = match decision {
            Ok(permitted) => permitted,
            Err(denial) => return Some(self.redactor.reply(RawReply::error(denial.reason))),
        };
        let (mut cancelled, never) = (cancelled, CancellationToken::new());
        if matches!(target, Target::Native(NativeTool::Clear)) {
            // It ends the epoch itself, and must not stop half way.
            (epoch, cancelled) = (never.clone(), &never);
        }
        let began = Instant::now();
        let running = caught(self.run(&target, &permitted, &epoch));
        let (raw, mut outcome) = tokio::select! {
            biased;
            () = cancelled.cancelled() => (RawReply::error("cancelled"), Outcome::Cancelled),
            () = epoch.cancelled() => (RawReply::error(ToolServerError::Cleared.to_string()), Outcome::Cancelled),
            ran = running => ran.unwrap_or_else(|defect| {
                (RawReply::error(defect.to_string()), Outcome::Panicked)
            }),
        };
        let reply = self.redactor.reply(raw);
        if outcome == Outcome::Answered && reply.get().failed() {
            outcome = Outcome::Failed;
        }
        let completion = Completion {
            outcome,
            took: began.elapsed(),
            bytes: reply.get().json().len(),
            redactions: reply.redactions(),
        };
        if let Err(error) = self.shared.audit.completed(permitted.call(), completion) {
            return Some(self.unaudited(&error));
        }
        (!cancelled.is_cancelled()).then_some(reply)
    }

    /// Forgets the session's credentials and service, and ends all that was made with them.
    pub async fn clear(&self, cause: &'static str) {
        self.session.clear();
        let epoch = std::mem::take(&mut *self.epoch.lock().unwrap_or_else(PoisonError::into_inner));
        epoch.cancel();
        self.children.end().await;
        self.shared.broker.forget(&self.session);
        self.redactor.forget();
        if let Err(error) = self.shared.audit.cleared(&self.session, cause) {
            tracing::error!(%error, "the end of a session's context is not in the audit log");
        }
        tracing::info!(session = %self.session.id(), cause, "context cleared");
    }

    /// Asks a tool server whose tools are not known which it has.
    pub async fn discover(&self, name: &ServerName) -> Result<(), String> {
        let manifest = self.shared.servers.manifest(name).ok_or("it is not enabled")?;
        let epoch = self.epoch();
        let action = Action {
            name: format!("subrosa.tools.List.{name}"),
            kind: ActionKind::Session,
            resource: None,
        };
        let tool = ToolName::Served { server: name.clone(), tool: "tools/list".into() };
        let mut call = ToolCall::new(Arc::clone(&self.session), tool, Map::new(), action);
        call.looks_with = manifest.looks_with();
        let decision = self.shared.policy.decide(call);
        self.shared.audit.decided(&decision).map_err(|error| error.to_string())?;
        let permitted = decision.map_err(|denial| denial.reason)?;
        let lease = match manifest.credentials() {
            None => None,
            Some(needs) => match self.lease(&permitted, None).await {
                Ok(lease) => Some(lease),
                Err(Refusal(words)) if needs.at_start => return Err(words),
                Err(_) => None,
            },
        };
        let discovery = self.children.discover(manifest, &permitted, lease.as_ref(), &epoch);
        match timeout(DISCOVERY, discovery).await {
            Ok(discovered) => discovered.map_err(|error| error.to_string()),
            Err(_) => Err(String::from("it takes too long to start; its tools will follow")),
        }
    }

    fn epoch(&self) -> CancellationToken {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn target(&self, tool: &str) -> Option<Target> {
        if let Some(native) = NativeTool::named(tool) {
            return Some(Target::Native(native));
        }
        let (server, tool) = tool.split_once(ToolName::SEPARATOR)?;
        let manifest = self.shared.servers.manifest(&server.parse().ok()?)?;
        // Before it has told its tools any name may be one of them; policy knows what it allows.
        let tools = self.shared.servers.tools(&manifest.name);
        let known = tools.is_none_or(|tools| tools.iter().any(|known| known.name == tool));
        known.then(|| Target::Served(Arc::clone(manifest), tool.to_owned()))
    }

    fn tool_call(&self, target: &Target, arguments: Map<String, Value>) -> ToolCall {
        let (tool, mut action) = match target {
            Target::Native(native) => (ToolName::Native(native.name()), native.action(&arguments)),
            Target::Served(manifest, tool) => (
                ToolName::Served { server: manifest.name.clone(), tool: tool.clone() },
                manifest.action(tool, &arguments),
            ),
        };
        // The caller's own words go into the audit log.
        action.name = self.redactor.text(&action.name).into_inner();
        action.resource = action.resource.map(|text| {
            let text = self.redactor.text(&text).into_inner();
            text.chars().take(200).collect()
        });
        let mut call = ToolCall::new(Arc::clone(&self.session), tool, arguments, action);
        if let Target::Served(manifest, _) = target {
            call.looks_with = manifest.looks_with();
        }
        call
    }

    async fn run(
        &self,
        target: &Target,
        permitted: &PermittedCall,
        epoch: &CancellationToken,
    ) -> (RawReply, Outcome) {
        let ran = match target {
            Target::Native(native) => Box::pin(self.run_native(*native, permitted)).await,
            Target::Served(manifest, tool) => {
                self.run_served(manifest, tool, permitted, epoch).await
            }
        };
        match ran {
            Ok(reply) => (reply, Outcome::Answered),
            Err((Refusal(words), outcome)) => (RawReply::error(words), outcome),
        }
    }

    async fn run_native(&self, native: NativeTool, permitted: &PermittedCall) -> Ran {
        let call = native.read(&permitted.call().arguments).map_err(failed)?;
        match call {
            NativeCall::Context(call) => {
                let lease = if call.shows_lease() {
                    Some(self.try_lease(permitted, None).await?)
                } else {
                    None
                };
                let clears = call.clears();
                let work = ContextWork {
                    session: &self.session,
                    config: &self.shared.config,
                    redactor: &self.redactor,
                };
                let reply = call.run(&work, lease);
                if clears {
                    self.clear("clear_credential_context").await;
                }
                Ok(reply)
            }
            NativeCall::Triage(call) => {
                let region = call.region().cloned();
                let lease =
                    self.lease(permitted, region).await.map_err(|r| (r, Outcome::Failed))?;
                let limit = self.shared.config.limits.native_timeout;
                timeout(limit, call.run(&self.shared.aws, &lease)).await.map_err(|_| {
                    let limit = humantime::format_duration(limit);
                    (Refusal(format!("AWS did not answer within {limit}")), Outcome::TimedOut)
                })
            }
        }
    }

    async fn run_served(
        &self,
        manifest: &Arc<Manifest>,
        tool: &str,
        permitted: &PermittedCall,
        epoch: &CancellationToken,
    ) -> Ran {
        let lease = match manifest.credentials() {
            None => None,
            Some(_) => Some(self.lease(permitted, None).await.map_err(|r| (r, Outcome::Failed))?),
        };
        self.children.call(manifest, permitted, lease.as_ref(), tool, epoch).await.map_err(
            |error| {
                let outcome = if error.timed_out() { Outcome::TimedOut } else { Outcome::Failed };
                (Refusal(error.to_string()), outcome)
            },
        )
    }

    /// The lease for a permitted call, with its issuance in the audit log.
    async fn lease(
        &self,
        permitted: &PermittedCall,
        region: Option<Region>,
    ) -> Result<Arc<Lease>, Refusal> {
        let lease = self.try_lease(permitted, region).await.map_err(|(refusal, _)| refusal)?;
        lease.map_err(|error| Refusal(error.words()))
    }

    async fn try_lease(
        &self,
        permitted: &PermittedCall,
        region: Option<Region>,
    ) -> Result<Result<Arc<Lease>, BrokerError>, (Refusal, Outcome)> {
        let issued = match self.shared.broker.lease(permitted, region, &self.redactor).await {
            Ok(issued) => issued,
            Err(error) => {
                tracing::warn!(%error, "no lease");
                return Ok(Err(error));
            }
        };
        if issued.fresh {
            self.shared.audit.issued(permitted.call(), &issued.lease).map_err(failed)?;
        }
        Ok(Ok(issued.lease))
    }

    fn unaudited(&self, error: &AuditError) -> Redacted<Reply> {
        tracing::error!(%error, "a call was refused");
        self.redactor.reply(RawReply::error(error.to_string()))
    }
}

/// Our own code broke: a panic, which must not become silence.
#[derive(Debug, thiserror::Error)]
#[error(
    "internal error: this call hit a defect of subrosa; its log says where. The session goes on."
)]
struct Defect;

async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Defect> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Defect)
}

/// Why a call has no reply of its own, for the model.
struct Refusal(String);

type Ran = Result<RawReply, (Refusal, Outcome)>;

fn failed(error: impl std::fmt::Display) -> (Refusal, Outcome) {
    (Refusal(error.to_string()), Outcome::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_that_does_not_repeat_it() {
        let broken = async { panic!("with a secret in it") };
        let defect = caught::<()>(broken).await.unwrap_err().to_string();
        assert!(defect.contains("defect") && !defect.contains("secret"), "{defect}");
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
    }
}
