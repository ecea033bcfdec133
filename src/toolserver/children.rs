//! The child processes of one session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answer::CallError,
    catalogue::{ServedTool, ToolServers, served},
    deaths::Deaths,
    endpoint::Endpoint,
    error::ToolServerError,
    last_words::LastWords,
    launcher::Launcher,
    manifest::Manifest,
    process::Process,
    proxy::Connection,
};
use crate::{
    call::RawReply,
    lease::{Delivery, Lease},
    name::{ScopeName, ServerName},
    policy::PermittedCall,
    redact::Redactor,
    session::ContextCleared,
};

/// A child that says that its tools changed has this long to tell them.
const LISTING: Duration = Duration::from_secs(30);
/// What a child has written before its end is still read for this long.
const LAST_ANSWER: Duration = Duration::from_millis(500);

/// What a child is for: calls of one tool server in one scope, and those that may write apart from
/// those that only look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Purpose {
    server: ServerName,
    scope: ScopeName,
    may_write: bool,
}

/// The child processes of one session, from one clearing of its context to the next.
pub struct Children {
    servers: Arc<ToolServers>,
    redactor: Arc<Redactor>,
    /// Cancelled when the context is cleared: all of them end, and none is started any more.
    over: CancellationToken,
    /// What starts and what ends them.
    tasks: TaskTracker,
    slots: Mutex<HashMap<Purpose, Arc<Slot>>>,
}

/// The place of one child.
#[derive(Default)]
struct Slot {
    /// Held while a child is started: whoever else needs it waits for this one.
    starting: Arc<tokio::sync::Mutex<()>>,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    child: Option<Arc<Child>>,
    deaths: Deaths,
}

struct Child {
    process: Process,
    connection: Connection,
    endpoint: Option<Endpoint>,
    last_words: Arc<LastWords>,
    /// The lease that it was started with; with delivery by environment it has no other.
    lease: Option<Arc<Lease>>,
    delivery: Delivery,
    /// The tool that did not answer in time, for which it was ended.
    given_up: OnceLock<String>,
}

impl Children {
    /// No children yet. What they say on stderr goes through the redactor into the log. They end
    /// when `over` is cancelled.
    pub fn new(
        servers: Arc<ToolServers>,
        redactor: Arc<Redactor>,
        over: CancellationToken,
    ) -> Self {
        Self { servers, redactor, over, tasks: TaskTracker::new(), slots: Mutex::default() }
    }

    /// Calls a tool of a tool server with a lease, and starts the server if it does not run.
    pub async fn call(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
        tool: &str,
    ) -> Result<RawReply, ToolServerError> {
        let server = manifest.name.clone();
        let (slot, child) = self.child(manifest, permitted, lease).await?;
        let arguments = &permitted.call().arguments;
        // Its stdout may stay open after its end: something that it started may hold it.
        let ended = async {
            child.process.ended().await;
            sleep(LAST_ANSWER).await;
        };
        let answer = tokio::select! {
            answer = timeout(manifest.timeout(), child.connection.call(tool, arguments)) => answer,
            () = ended => Ok(Err(CallError::Ended)),
        };
        let error = match answer {
            Ok(Ok(reply)) => {
                slot.place().deaths.forget();
                return Ok(reply);
            }
            Ok(Err(CallError::TooLong(bytes))) => {
                let limit = self.servers.reply_limit;
                return Err(ToolServerError::TooLong { server, bytes, limit });
            }
            Ok(Err(CallError::Malformed)) => {
                return Err(ToolServerError::Malformed { server, tool: tool.to_owned() });
            }
            Ok(Err(CallError::Ended)) => self.why_ended(server, &child).await,
            Err(_) => {
                let after = manifest.timeout();
                let _ = child.given_up.set(tool.to_owned());
                ToolServerError::TimedOut { server, tool: tool.to_owned(), after }
            }
        };
        if slot.place().leave(&child, &error) {
            tracing::warn!(server = %manifest.name, %error, "tool server ended");
        }
        // Ended at once, not when the other calls that wait for it give up.
        child.end();
        Err(error)
    }

    /// Why a child does not answer any more.
    async fn why_ended(&self, server: ServerName, child: &Child) -> ToolServerError {
        if self.over.is_cancelled() {
            return ContextCleared.into();
        }
        if let Some(tool) = child.given_up.get() {
            return ToolServerError::EndedForAnother { server, tool: tool.clone() };
        }
        child.end();
        let exit = child.process.ended().await.to_string();
        ToolServerError::Died { server, exit, last_words: child.last_words.settled().await }
    }

    /// Starts a tool server only to learn its tools.
    pub async fn discover(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
    ) -> Result<(), ToolServerError> {
        self.child(manifest, permitted, lease).await.map(drop)
    }

    /// Waits until all children are gone. Call it when `over` was cancelled.
    pub async fn end(&self) {
        let slots: Vec<Arc<Slot>> = self.slots().drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some(child) = slot.place().child.take() {
                child.end();
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether none runs or is being started.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Purpose, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child for a call in its place, with the given lease; a new one if there is none that
    /// can have it.
    async fn child(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
    ) -> Result<(Arc<Slot>, Arc<Child>), ToolServerError> {
        let purpose = Purpose {
            server: manifest.name.clone(),
            scope: permitted.scope().clone(),
            may_write: permitted.may_write(),
        };
        let slot = Arc::clone(self.slots().entry(purpose.clone()).or_default());
        let only_one = Arc::clone(&slot.starting).lock_owned().await;
        if let Some(child) = slot.place().find(&manifest.name, lease)? {
            return Ok((Arc::clone(&slot), child));
        }
        let (children, manifest) = (Arc::clone(self), Arc::clone(manifest));
        let (lease, place) = (lease.cloned(), Arc::clone(&slot));
        // On a task of its own: a caller that gives up must not undo a start that others wait for.
        let starting = self.tasks.spawn(async move {
            let _only_one = only_one;
            let started = tokio::select! {
                biased;
                () = children.over.cancelled() => Err(ContextCleared.into()),
                started = children.start(&manifest, &purpose, lease.as_ref()) => started.map(Arc::new),
            };
            let mut place = place.place();
            match &started {
                // Asked while the place is held, so that `end` finds either the child or its end.
                Ok(child) if children.over.is_cancelled() => child.end(),
                Ok(child) => {
                    place.child = Some(Arc::clone(child));
                    children.follow_changes(&manifest.name, child);
                }
                // One that is not there, or only slow, was not dying.
                Err(ToolServerError::Cleared(_) | ToolServerError::Launch(_)) => {}
                Err(error) if error.timed_out() => {}
                Err(_) => place.deaths.count(),
            }
            started
        });
        let child = starting.await.unwrap_or(Err(ContextCleared.into()))?;
        Ok((slot, child))
    }

    /// Keeps the list of tools up to date with what a child says of it.
    fn follow_changes(&self, name: &ServerName, child: &Arc<Child>) {
        let (servers, redactor) = (Arc::clone(&self.servers), Arc::clone(&self.redactor));
        let (name, changes) = (name.clone(), child.connection.changes());
        let child = Arc::downgrade(child);
        tokio::spawn(async move {
            loop {
                changes.notified().await;
                // A storm of notices is one change.
                sleep(Duration::from_secs(1)).await;
                let Some(child) = child.upgrade() else { return };
                match timeout(LISTING, child.connection.tools()).await {
                    Ok(Ok(tools)) => servers.learn(&name, clean(&redactor, tools)),
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        });
    }

    async fn start(
        &self,
        manifest: &Manifest,
        purpose: &Purpose,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Child, ToolServerError> {
        let server = manifest.name.clone();
        let began = Instant::now();
        let launcher = Launcher { over: &self.over, tasks: &self.tasks };
        let launched = launcher.launch(manifest, purpose.may_write, lease).await?;
        if let Some(endpoint) = &launched.endpoint {
            self.redactor.learn("credentials endpoint token", endpoint.token());
        }
        let process = launched.process;
        let last_words = LastWords::follow(&server, launched.pipes.stderr, &self.redactor);
        let open =
            Connection::open(launched.pipes.stdin, launched.pipes.stdout, self.servers.reply_limit);
        let opened = tokio::select! {
            opened = timeout(manifest.start_timeout(), open) => opened,
            exit = process.ended() => {
                let exit = exit.to_string();
                let last_words = last_words.settled().await;
                return Err(ToolServerError::DiedAtStart { server, exit, last_words });
            }
        };
        let (connection, tools) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                // It may just have died: its end says more than the broken handshake.
                if let Ok(exit) = timeout(Duration::from_millis(500), process.ended()).await {
                    let exit = exit.to_string();
                    let last_words = last_words.settled().await;
                    return Err(ToolServerError::DiedAtStart { server, exit, last_words });
                }
                let (problem, last_words) = (error.to_string(), last_words.get());
                return Err(ToolServerError::NoServer { server, problem, last_words });
            }
            Err(_) => {
                let (after, last_words) = (manifest.start_timeout(), last_words.get());
                return Err(ToolServerError::StartTimedOut { server, after, last_words });
            }
        };
        tracing::info!(
            server = %manifest.name, scope = %purpose.scope, took = ?began.elapsed(), "tool server started"
        );
        self.servers.learn(&manifest.name, clean(&self.redactor, tools));
        Ok(Child {
            process,
            connection,
            endpoint: launched.endpoint,
            last_words,
            lease: lease.cloned(),
            delivery: manifest.credentials().map(|needs| needs.delivery).unwrap_or_default(),
            given_up: OnceLock::new(),
        })
    }
}

impl Slot {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a child says of its tools is output like any other.
fn clean(redactor: &Redactor, tools: Vec<Map<String, Value>>) -> Vec<ServedTool> {
    tools
        .into_iter()
        .filter_map(|definition| redactor.value(definition))
        .filter_map(|definition| served(definition.into_inner()))
        .collect()
}

impl Place {
    /// The child in its place, if it lives and can have this lease.
    fn find(
        &mut self,
        server: &ServerName,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Option<Arc<Child>>, ToolServerError> {
        if let Some(child) = &self.child {
            if !child.process.has_ended() && child.follows(lease) {
                return Ok(Some(Arc::clone(child)));
            }
            // Calls that it still works on keep it; it ends after the last of them.
            self.child = None;
        }
        if self.deaths.leave_alone() {
            return Err(ToolServerError::KeepsDying { server: server.clone() });
        }
        Ok(None)
    }

    /// Takes a child that failed out of its place. False if it was not there any more.
    fn leave(&mut self, child: &Arc<Child>, error: &ToolServerError) -> bool {
        if !self.child.as_ref().is_some_and(|own| Arc::ptr_eq(own, child)) {
            return false;
        }
        self.child = None;
        // One that is only slow was not dying.
        if !error.timed_out() {
            self.deaths.count();
        }
        true
    }
}

impl Child {
    /// Asks it to end: no call waits for it any longer.
    fn end(&self) {
        self.connection.close();
        self.process.end();
    }

    /// Gives the child a lease, if it can take one that it was not started with.
    fn follows(&self, lease: Option<&Arc<Lease>>) -> bool {
        let (Some(own), Some(new)) = (&self.lease, lease) else {
            return self.lease.is_none() && lease.is_none();
        };
        // Another account or region: nothing that the child remembers may reach into it.
        if own.request() != new.request() {
            return false;
        }
        match (self.delivery, &self.endpoint) {
            (Delivery::Endpoint, Some(endpoint)) => {
                endpoint.set(Arc::clone(new));
                true
            }
            _ => own.id() == new.id(),
        }
    }
}
