//! The child processes of one session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    answer::CallError,
    catalogue::{ServedTool, ToolServers, served},
    deaths::Deaths,
    endpoint::Endpoint,
    error::ToolServerError,
    last_words::LastWords,
    launcher::launch,
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
};

/// What a child is for: calls of one tool server in one scope, and those that may write apart from
/// those that only look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Purpose {
    server: ServerName,
    scope: ScopeName,
    may_write: bool,
}

/// The child processes of one session.
pub struct Children {
    servers: Arc<ToolServers>,
    redactor: Arc<Redactor>,
    slots: Mutex<HashMap<Purpose, Arc<Slot>>>,
}

/// The place of one child.
#[derive(Default)]
struct Slot {
    /// Held while a child is started: whoever else needs it waits for this one.
    place: Arc<tokio::sync::Mutex<Place>>,
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
}

impl Children {
    /// No children yet. What they say on stderr goes through the redactor into the log.
    pub fn new(servers: Arc<ToolServers>, redactor: Arc<Redactor>) -> Self {
        Self { servers, redactor, slots: Mutex::default() }
    }

    /// Calls a tool of a tool server with a lease, and starts the server if it does not run.
    pub async fn call(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
        tool: &str,
        epoch: &CancellationToken,
    ) -> Result<RawReply, ToolServerError> {
        let server = manifest.name.clone();
        let (slot, child) = self.child(manifest, permitted, lease, epoch).await?;
        let arguments = &permitted.call().arguments;
        let answer = timeout(manifest.timeout(), child.connection.call(tool, arguments)).await;
        let error = match answer {
            Ok(Ok(reply)) => {
                slot.place.lock().await.deaths.forget();
                return Ok(reply);
            }
            Ok(Err(CallError::TooLong(bytes))) => {
                return Err(ToolServerError::TooLong {
                    server,
                    bytes,
                    limit: self.servers.reply_limit,
                });
            }
            Ok(Err(CallError::Malformed)) => {
                return Err(ToolServerError::Malformed { server, tool: tool.to_owned() });
            }
            Err(_) => {
                let after = manifest.timeout();
                ToolServerError::TimedOut { server, tool: tool.to_owned(), after }
            }
            Ok(Err(CallError::Ended)) => {
                if !slot.place.lock().await.is(&child) {
                    // It was taken out of its place, not found dead in it.
                    return Err(ToolServerError::Cleared);
                }
                child.connection.close();
                child.process.end();
                let exit = child.process.ended().await.to_string();
                ToolServerError::Died { server, exit, last_words: child.last_words.get() }
            }
        };
        let mut place = slot.place.lock().await;
        if place.is(&child) {
            place.child = None;
            // One that is only slow was not dying.
            if !error.timed_out() {
                place.deaths.count();
            }
        }
        // Ended at once, not when the other calls that wait for it give up.
        child.connection.close();
        child.process.end();
        tracing::warn!(server = %manifest.name, %error, "tool server ended");
        Err(error)
    }

    /// Starts a tool server only to learn its tools.
    pub async fn discover(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
        epoch: &CancellationToken,
    ) -> Result<(), ToolServerError> {
        self.child(manifest, permitted, lease, epoch).await.map(drop)
    }

    /// Ends all children, and waits until they are gone. The epoch that they were started in must
    /// be over, or new ones may take their place.
    pub async fn end(&self) {
        let slots: Vec<Arc<Slot>> = self.slots().drain().map(|(_, slot)| slot).collect();
        let ending = slots.into_iter().map(|slot| async move {
            let child = slot.place.lock().await.child.take();
            if let Some(child) = child {
                child.connection.close();
                child.process.end();
                child.process.ended().await;
            }
        });
        futures::future::join_all(ending).await;
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Purpose, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child for a call in its place, with the given lease; a new one if there is none that can have it.
    async fn child(
        self: &Arc<Self>,
        manifest: &Arc<Manifest>,
        permitted: &PermittedCall,
        lease: Option<&Arc<Lease>>,
        epoch: &CancellationToken,
    ) -> Result<(Arc<Slot>, Arc<Child>), ToolServerError> {
        let purpose = Purpose {
            server: manifest.name.clone(),
            scope: permitted.scope().clone(),
            may_write: permitted.may_write(),
        };
        let slot = Arc::clone(self.slots().entry(purpose.clone()).or_default());
        let mut place = Arc::clone(&slot.place).lock_owned().await;
        if epoch.is_cancelled() {
            return Err(ToolServerError::Cleared);
        }
        if let Some(child) = &place.child {
            if !child.process.has_ended() && child.follows(lease) {
                let child = Arc::clone(child);
                drop(place);
                return Ok((slot, child));
            }
            // Calls that it still works on keep it; it ends after the last of them.
            place.child = None;
        }
        if place.deaths.keep_on() {
            return Err(ToolServerError::KeepsDying { server: manifest.name.clone() });
        }
        let (children, manifest) = (Arc::clone(self), Arc::clone(manifest));
        let (lease, epoch) = (lease.cloned(), epoch.clone());
        // On a task of its own: a caller that gives up must not undo a start that others wait for.
        let starting = tokio::spawn(async move {
            let started = tokio::select! {
                () = epoch.cancelled() => Err(ToolServerError::Cleared),
                started = children.start(&manifest, &purpose, lease.as_ref()) => started.map(Arc::new),
            };
            match &started {
                Ok(child) => {
                    place.child = Some(Arc::clone(child));
                    children.follow_changes(&manifest.name, child);
                }
                Err(ToolServerError::Cleared) => {}
                Err(_) => place.deaths.count(),
            }
            started
        });
        let child = starting.await.unwrap_or(Err(ToolServerError::Cleared))?;
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
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Some(child) = child.upgrade() else { return };
                match child.connection.tools().await {
                    Ok(tools) => servers.learn(&name, clean(&redactor, tools)),
                    Err(_) => return,
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
        let launched = launch(manifest, purpose.may_write, lease).await?;
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
                let problem = error.to_string();
                return Err(ToolServerError::NoServer {
                    server,
                    problem,
                    last_words: last_words.get(),
                });
            }
            Err(_) => {
                let after = manifest.start_timeout();
                return Err(ToolServerError::StartTimedOut {
                    server,
                    after,
                    last_words: last_words.get(),
                });
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
        })
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
    fn is(&self, child: &Arc<Child>) -> bool {
        self.child.as_ref().is_some_and(|own| Arc::ptr_eq(own, child))
    }
}

impl Child {
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
                endpoint.set(Some(Arc::clone(new)));
                true
            }
            _ => own.id() == new.id(),
        }
    }
}
