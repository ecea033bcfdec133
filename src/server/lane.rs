//! The fast lane: a `tools/call` for a tool server goes past rmcp, and its reply goes to the client
//! as the bytes that came from the child, with another envelope around them. What is not plainly
//! such a call takes the usual way.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    call::Reply,
    enforcement::Enforcement,
    frame::{Envelope, FrameWriter},
};

/// The revision whose requests carry their own version and capabilities.
const INLINE_REVISION: &str = "2026-07-28";

pub(super) struct Lane {
    enforcement: Arc<Enforcement>,
    writer: FrameWriter,
    /// Whether the client has sent `initialize`: then requests without a version are its.
    initialized: AtomicBool,
    /// By id, as it stands in the message.
    under_way: Mutex<HashMap<String, CancellationToken>>,
    tasks: TaskTracker,
}

/// The parameters of a `tools/call`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    arguments: Option<Map<String, Value>>,
    #[serde(rename = "_meta", borrow)]
    meta: Option<Meta<'a>>,
    // With one of these the call is more than a call.
    #[serde(borrow)]
    input_responses: Option<&'a RawValue>,
    #[serde(borrow)]
    request_state: Option<&'a RawValue>,
    #[serde(borrow)]
    task: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", borrow)]
    capabilities: Option<&'a RawValue>,
}

impl Lane {
    pub(super) fn new(enforcement: Arc<Enforcement>, writer: FrameWriter) -> Self {
        Self {
            enforcement,
            writer,
            initialized: AtomicBool::new(false),
            under_way: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a message if it is for the lane. `false` leaves it to rmcp.
    pub(super) fn take(self: &Arc<Self>, message: &Envelope<'_>) -> bool {
        match (message.method.as_deref(), message.id, message.params) {
            (Some("initialize"), Some(_), _) => {
                self.initialized.store(true, Ordering::Relaxed);
                false
            }
            (Some("notifications/cancelled"), None, Some(params)) => self.cancel(params),
            (Some("tools/call"), Some(id), Some(params)) => self.call(id, params),
            _ => false,
        }
    }

    fn call(self: &Arc<Self>, id: &RawValue, params: &RawValue) -> bool {
        let Ok(params) = serde_json::from_str::<Params<'_>>(params.get()) else {
            return false;
        };
        let Some(inline) = self.revision(params.meta.as_ref()) else {
            return false;
        };
        let plain = params.input_responses.is_none()
            && params.request_state.is_none()
            && params.task.is_none();
        if !plain || !self.enforcement.is_served(&params.name) {
            return false;
        }
        let id = id.get().to_owned();
        let cancelled = CancellationToken::new();
        // An id that is used twice is the client's mistake; rmcp would mix them up as well.
        self.under_way().insert(id.clone(), cancelled.clone());
        let (lane, name) = (Arc::clone(self), params.name.into_owned());
        let arguments = params.arguments.unwrap_or_default();
        self.tasks.spawn(async move {
            let reply = lane.enforcement.call(&name, arguments, &cancelled).await;
            lane.under_way().remove(&id);
            if let Some(reply) = reply {
                lane.answer(&id, reply.into_inner(), inline).await;
            }
        });
        true
    }

    /// Whether the request carries its own version; `None` where rmcp has something to say about it.
    fn revision(&self, meta: Option<&Meta<'_>>) -> Option<bool> {
        let version = meta.and_then(|meta| meta.version.as_deref());
        match version {
            None => self.initialized.load(Ordering::Relaxed).then_some(false),
            Some(INLINE_REVISION) => {
                let capabilities = meta.and_then(|meta| meta.capabilities)?;
                capabilities.get().starts_with('{').then_some(true)
            }
            Some(_) => None,
        }
    }

    /// Ends the call that is named. One that is not in the lane may be rmcp's.
    fn cancel(&self, params: &RawValue) -> bool {
        #[derive(Deserialize)]
        struct Cancelled<'a> {
            #[serde(rename = "requestId", borrow)]
            request_id: &'a RawValue,
        }
        let Ok(cancelled) = serde_json::from_str::<Cancelled<'_>>(params.get()) else {
            return false;
        };
        match self.under_way().get(cancelled.request_id.get()) {
            Some(call) => {
                call.cancel();
                true
            }
            None => false,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, id: &str, reply: Reply, inline: bool) {
        let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},");
        let (head, body) = match reply {
            Reply::Error(json) => (format!("{head}\"error\":"), json),
            Reply::Result { json, typed: false, .. } if inline => with_result_type(&head, json),
            Reply::Result { json, .. } => (format!("{head}\"result\":"), json),
        };
        let message = vec![head.into(), body, Bytes::from_static(b"}")];
        // A client that has gone does not need it.
        let _ = self.writer.send(message).await;
    }

    /// Lets the calls that are under way come to their end, for as long as `grace`.
    pub(super) async fn drain(&self, grace: Duration) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            for call in self.under_way().values() {
                call.cancel();
            }
            let _ = timeout(grace, self.tasks.wait()).await;
        }
    }
}

/// A result of revision 2026-07-28 says that it is complete; a child of an older one does not.
fn with_result_type(head: &str, json: Bytes) -> (String, Bytes) {
    let inside = json.iter().position(|b| *b == b'{').map(|brace| json.slice(brace + 1..));
    match inside {
        Some(rest) => {
            let comma = if rest.trim_ascii_start().starts_with(b"}") { "" } else { "," };
            (format!("{head}\"result\":{{\"resultType\":\"complete\"{comma}"), rest)
        }
        None => (format!("{head}\"result\":"), json),
    }
}
