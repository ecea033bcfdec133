//! The way of every call, in one place:
//!
//! ```text
//! ToolCall ─▶ decided (policy, audit) ─▶ Lease ─▶ RawReply ─▶ Redacted<Reply> ─▶ completed (audit)
//! ```
//!
//! Whatever fails on the way, the answer says so and went through the redactor; without an audit
//! record nothing is done and nothing is said.

mod epoch;
mod shared;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::epoch::{Epoch, Epochs};
pub use self::shared::{Shared, StartError};
use crate::{
    audit::{AuditError, Completion, Outcome},
    broker::BrokerError,
    call::{Action, ActionKind, Arguments, RawReply, Reply, ToolCall, ToolName},
    lease::{Lease, Region},
    name::ServerName,
    native::{self, ContextWork, NativeCall, NativeTool},
    policy::{Denial, PermittedCall},
    redact::{Redacted, Redactor},
    session::{ContextCleared, Session},
    toolserver::{Manifest, ToolServerError},
};

/// Tool servers that are asked for their tools before they have been recorded get this long.
const DISCOVERY: Duration = Duration::from_secs(30);

/// Calls that the end of the session ended have this long to say so in the audit log.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// One session's way through policy, broker, tools and redactor.
pub struct Enforcement {
    shared: Arc<Shared>,
    session: Arc<Session>,
    epochs: Epochs,
    /// What ended epochs still have to end.
    endings: TaskTracker,
}

/// What a tool's name leads to.
enum Target {
    Native(NativeTool),
    Served(Arc<Manifest>, String),
}

/// Why the tools of a tool server are not known. Its `Display` is fit for a log.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// There is no such tool server.
    #[error("it is not enabled")]
    NotEnabled,
    /// Policy does not let it start.
    #[error("policy `{}` does not permit it", .0.policy)]
    Denied(Box<Denial>),
    /// It needs credentials to start, and there are none.
    #[error(transparent)]
    NoLease(#[from] Arc<BrokerError>),
    /// It failed.
    #[error(transparent)]
    Server(#[from] ToolServerError),
    /// It takes too long.
    #[error("it takes too long to start; its tools will follow")]
    TooSlow,
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Our own code broke.
    #[error(transparent)]
    Defect(#[from] Defect),
}

impl Enforcement {
    /// Opens the way for a session.
    pub fn open(shared: Arc<Shared>, session: Arc<Session>) -> Result<Self, AuditError> {
        shared.audit.opened(&session)?;
        let epochs = Epochs::new(Arc::clone(&session), Arc::clone(&shared.servers));
        Ok(Self { shared, session, epochs, endings: TaskTracker::new() })
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
        arguments: impl Into<Arguments>,
        cancelled: &CancellationToken,
    ) -> Option<Redacted<Reply>> {
        let epoch = self.epochs.present();
        let call = caught(self.enforce(tool, arguments.into(), &epoch, cancelled)).await;
        call.unwrap_or_else(|defect| Some(error(&epoch.redactor, defect)))
    }

    async fn enforce(
        &self,
        tool: &str,
        arguments: Arguments,
        epoch: &Epoch,
        cancelled: &CancellationToken,
    ) -> Option<Redacted<Reply>> {
        let Some(target) = self.target(tool) else {
            // MCP specification, "Error handling" of tools: an unknown tool is a protocol error.
            let name: String = tool.chars().take(ToolName::LONGEST).collect();
            let unknown = format!("unknown tool `{name}`: tools/list names those that there are");
            return Some(epoch.redactor.reply(RawReply::protocol_error(-32602, unknown)));
        };
        // To clear the session is the way out when too many calls hang; and it must not stop half
        // way, as it would with the epoch that it ends.
        let clears = matches!(target, Target::Native(NativeTool::Clear));
        let limit = (!clears).then_some(self.shared.config.limits.calls);
        let Some(_under_way) = self.session.begin_call(limit) else {
            let many = "as many calls of this session are under way as limits.calls allows: wait \
                        for some to end";
            return Some(error(&epoch.redactor, many));
        };
        let permitted = match self.decide(tool_call(&self.session, &target, arguments, epoch)) {
            Ok(Ok(permitted)) => permitted,
            Ok(Err(denial)) => return Some(error(&epoch.redactor, denial.reason)),
            Err(unaudited) => return Some(refused(&epoch.redactor, &unaudited)),
        };
        let began = Instant::now();
        let (raw, mut outcome) = tokio::select! {
            biased;
            () = cancelled.cancelled(), if !clears => {
                (RawReply::error("cancelled"), Outcome::Cancelled)
            }
            () = epoch.over(), if !clears => {
                (RawReply::error(ContextCleared.to_string()), Outcome::Cancelled)
            }
            ran = caught(self.run(&target, &permitted, epoch)) => match ran {
                Ok(Ok(reply)) => (reply, Outcome::Answered),
                Ok(Err(Refusal { words, outcome })) => (RawReply::error(words), outcome),
                Err(defect) => (RawReply::error(defect.to_string()), Outcome::Panicked),
            },
        };
        let reply = epoch.redactor.reply(raw);
        if outcome == Outcome::Answered && reply.get().failed() {
            outcome = Outcome::Failed;
        }
        let completion = Completion {
            outcome,
            took: began.elapsed(),
            bytes: reply.get().json().len(),
            redactions: reply.redactions(),
        };
        if let Err(unaudited) = self.shared.audit.completed(permitted.call(), completion) {
            return Some(refused(&epoch.redactor, &unaudited));
        }
        (!cancelled.is_cancelled()).then_some(reply)
    }

    /// Forgets the session's credentials and service, and ends all that was made with them. When
    /// this returns the children are gone.
    pub async fn clear(&self, cause: &'static str) {
        let ended = self.epochs.next();
        // On a task of its own: a caller that gives up must not leave half of it alive.
        let ending = self.endings.spawn(async move { ended.children.end().await });
        let _ = ending.await;
        if let Err(error) = self.shared.audit.cleared(&self.session, cause) {
            tracing::error!(%error, "the end of a session's context is not in the audit log");
        }
        tracing::info!(session = %self.session.id(), cause, "context cleared");
    }

    /// Clears the context for good: waits for all that was cleared before, and for the calls that
    /// are under way to come to their end.
    pub async fn close(&self, cause: &'static str) {
        self.clear(cause).await;
        self.endings.close();
        self.endings.wait().await;
        if timeout(LAST_CALLS, self.session.calls_over()).await.is_err() {
            tracing::warn!("a call does not come to its end");
        }
    }

    /// Whether there is anything that [`Enforcement::clear`] would forget or end.
    pub fn holds_anything(&self) -> bool {
        self.epochs.hold_anything()
    }

    /// Asks a tool server whose tools are not known which it has.
    pub async fn discover(&self, name: &ServerName) -> Result<(), DiscoveryError> {
        let manifest = self.shared.servers.manifest(name).ok_or(DiscoveryError::NotEnabled)?;
        let epoch = self.epochs.present();
        let action = Action {
            name: format!("subrosa.tools.List.{name}"),
            kind: ActionKind::Session,
            resource: None,
        };
        let tool = ToolName::Served { server: name.clone(), tool: "tools/list".into() };
        let mut call = ToolCall::new(Arc::clone(&self.session), tool, Arguments::default(), action);
        call.looks_with = manifest.looks_with();
        let _under_way = self.session.begin_call(None);
        let permitted = self.decide(call)?.map_err(DiscoveryError::Denied)?;
        let began = Instant::now();
        let learned = timeout(DISCOVERY, self.learn_tools(manifest, &permitted, &epoch));
        let discovered = tokio::select! {
            biased;
            () = epoch.over() => Err(ToolServerError::from(ContextCleared).into()),
            learned = caught(learned) => match learned {
                Ok(learned) => learned.unwrap_or(Err(DiscoveryError::TooSlow)),
                Err(defect) => Err(defect.into()),
            },
        };
        let outcome = match &discovered {
            Ok(()) => Outcome::Answered,
            Err(DiscoveryError::TooSlow) => Outcome::TimedOut,
            Err(_) => Outcome::Failed,
        };
        let completion = Completion { outcome, took: began.elapsed(), bytes: 0, redactions: 0 };
        self.shared.audit.completed(permitted.call(), completion)?;
        discovered
    }

    async fn learn_tools(
        &self,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        epoch: &Epoch,
    ) -> Result<(), DiscoveryError> {
        let lease = match manifest.credentials() {
            None => None,
            Some(needs) => match self.lease(permitted, None, epoch).await {
                Ok(lease) => Some(lease),
                Err(error) if needs.at_start => return Err(error.into()),
                Err(_) => None,
            },
        };
        Ok(epoch.children.discover(manifest, permitted, lease.as_ref()).await?)
    }

    fn target(&self, tool: &str) -> Option<Target> {
        if let Some(native) = NativeTool::named(tool) {
            return Some(Target::Native(native));
        }
        let (server, tool) = tool.split_once(ToolName::SEPARATOR)?;
        let manifest = self.shared.servers.manifest(&server.parse().ok()?)?;
        // Before it has told its tools any name may be one of them; policy knows what it allows.
        let known = match self.shared.servers.tools(&manifest.name) {
            Some(tools) => tools.iter().any(|known| known.name == tool),
            None => ToolName::is_tool(tool),
        };
        known.then(|| Target::Served(Arc::clone(manifest), tool.to_owned()))
    }

    /// Asks policy, and tells the audit log what it said.
    fn decide(&self, call: ToolCall) -> Result<Result<PermittedCall, Box<Denial>>, AuditError> {
        let decision = self.shared.policy.decide(call);
        self.shared.audit.decided(&decision)?;
        Ok(decision)
    }

    async fn run(
        &self,
        target: &Target,
        permitted: &PermittedCall,
        epoch: &Epoch,
    ) -> Result<RawReply, Refusal> {
        match target {
            Target::Native(native) => Box::pin(self.run_native(*native, permitted, epoch)).await,
            Target::Served(manifest, tool) => {
                let lease = match manifest.credentials() {
                    None => None,
                    Some(_) => Some(self.lease(permitted, None, epoch).await?),
                };
                Ok(epoch.children.call(manifest, permitted, lease.as_ref(), tool).await?)
            }
        }
    }

    async fn run_native(
        &self,
        native: NativeTool,
        permitted: &PermittedCall,
        epoch: &Epoch,
    ) -> Result<RawReply, Refusal> {
        let call = native.read(&permitted.call().arguments).map_err(Refusal::failed)?;
        match call {
            NativeCall::Context(call) => {
                let lease = if call.shows_lease() {
                    Some(self.lease(permitted, None, epoch).await)
                } else {
                    None
                };
                let work = ContextWork {
                    session: &self.session,
                    config: &self.shared.config,
                    redactor: &epoch.redactor,
                };
                self.epochs.within(epoch, || call.run(&work, lease)).map_err(Refusal::failed)
            }
            NativeCall::Triage(call) => {
                let lease = self.lease(permitted, call.region().cloned(), epoch).await?;
                let limit = self.shared.config.limits.native_timeout;
                let work = call.run(&self.shared.aws, &lease, &epoch.redactor);
                timeout(limit, work).await.map_err(|_| {
                    let limit = humantime::format_duration(limit);
                    let words = format!("AWS did not answer within {limit}");
                    Refusal { words, outcome: Outcome::TimedOut }
                })
            }
            NativeCall::Clear => {
                self.clear("clear_credential_context").await;
                Ok(native::cleared())
            }
        }
    }

    async fn lease(
        &self,
        permitted: &PermittedCall,
        region: Option<Region>,
        epoch: &Epoch,
    ) -> Result<Arc<Lease>, Arc<BrokerError>> {
        let leased = self.shared.broker.lease(permitted, region, &epoch.leases, &epoch.redactor);
        leased.await.inspect_err(|error| tracing::warn!(%error, "no lease"))
    }
}

fn tool_call(
    session: &Arc<Session>,
    target: &Target,
    arguments: Arguments,
    epoch: &Epoch,
) -> ToolCall {
    // The caller's own words go into the audit log.
    let clean = |text: &str| epoch.redactor.text(text).into_inner();
    let (tool, mut action) = match target {
        Target::Native(native) => (ToolName::Native(native.name()), native.action(&arguments)),
        Target::Served(manifest, tool) => (
            ToolName::Served { server: manifest.name.clone(), tool: clean(tool) },
            manifest.action(tool, &arguments),
        ),
    };
    action.name = clean(&action.name);
    action.resource = action.resource.map(|text| clean(&text).chars().take(200).collect());
    let mut call = ToolCall::new(Arc::clone(session), tool, arguments, action);
    if let Target::Served(manifest, _) = target {
        call.looks_with = manifest.looks_with();
    }
    call
}

/// Our own code broke: a panic, which must not become silence.
#[derive(Debug, thiserror::Error)]
#[error(
    "internal error: this call hit a defect of subrosa; its log says where. The session goes on."
)]
pub struct Defect;

async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Defect> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Defect)
}

/// Why a call has no reply of its own, for the model.
struct Refusal {
    words: String,
    outcome: Outcome,
}

impl Refusal {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self { words: error.to_string(), outcome: Outcome::Failed }
    }
}

impl From<Arc<BrokerError>> for Refusal {
    fn from(error: Arc<BrokerError>) -> Self {
        Self::failed(error.words())
    }
}

impl From<ToolServerError> for Refusal {
    fn from(error: ToolServerError) -> Self {
        let outcome = if error.timed_out() { Outcome::TimedOut } else { Outcome::Failed };
        Self { words: error.to_string(), outcome }
    }
}

fn error(redactor: &Redactor, words: impl std::fmt::Display) -> Redacted<Reply> {
    redactor.reply(RawReply::error(words.to_string()))
}

fn refused(redactor: &Redactor, unaudited: &AuditError) -> Redacted<Reply> {
    tracing::error!(error = %unaudited, "a call was refused");
    error(redactor, unaudited)
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
