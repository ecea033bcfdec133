//! The MCP connection to a child. rmcp does the handshake (either protocol revision) and lists the
//! tools; calls go beside it as bytes, so that a reply is never rebuilt from typed messages:
//!
//! ```text
//!            ┌─ ids below 2³² ─▶ rmcp: handshake, tools/list, what the child asks
//! stdout ─▶ reader
//!            └─ ids from 2³² ──▶ the call that waits for it, as the bytes that came
//! ```

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use rmcp::{
    ClientHandler, RoleClient, ServiceError,
    model::{
        ClientCapabilities, ClientConfig, ClientJsonRpcMessage, Implementation,
        PaginatedRequestParams, ProtocolVersion, RequestMetaObject, ServerJsonRpcMessage,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, NotificationContext,
        RunningService,
    },
    transport::Transport,
};
use serde_json::{Map, Value};
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::{Notify, mpsc, oneshot},
};

use super::answer::{Answer, CallError, Line};
use crate::{
    call::RawReply,
    frame::{Closed, Frame, FrameReader, FrameWriter},
};

/// rmcp counts its requests from 0 in 32 bits.
const FIRST_ID: u64 = 1 << 32;
/// Pages of a list of tools that are read.
const PAGES: usize = 50;
/// Messages for rmcp that wait; what a child sends beyond that is dropped.
const QUEUE: usize = 64;

/// The connection to one child.
pub(super) struct Connection {
    shared: Arc<Shared>,
    /// The `_meta` that a child of revision 2026-07-28 wants in every request.
    meta: Option<Value>,
    service: RunningService<RoleClient, Client>,
    changed: Arc<Notify>,
}

struct Shared {
    writer: FrameWriter,
    waiting: Mutex<Waiting>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    ended: bool,
}

/// A tool as the child describes it.
pub(super) type Definition = Map<String, Value>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("it does not speak MCP")]
    Handshake(#[source] Box<ClientInitializeError>),
    #[error("it does not list its tools")]
    List(#[source] ServiceError),
}

struct Client {
    config: ClientConfig,
    changed: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

impl Connection {
    /// Shakes hands with a child and asks for its tools.
    pub(super) async fn open(
        stdin: ChildStdin,
        stdout: ChildStdout,
        limit: usize,
    ) -> Result<(Self, Vec<Definition>), ConnectError> {
        let (writer, _) = FrameWriter::spawn(stdin);
        let (messages, incoming) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            writer: writer.clone(),
            waiting: Mutex::default(),
            next_id: AtomicU64::new(FIRST_ID),
        });
        tokio::spawn(read(FrameReader::new(stdout, limit), Arc::clone(&shared), messages));
        // No capability is declared: nobody answers a child's questions.
        let identity = Implementation::new("subrosa", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(ClientCapabilities::default(), identity.clone());
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let changed = Arc::default();
        let service = Client { config, changed: Arc::clone(&changed) }
            .serve_with_lifecycle(Pipe { writer, incoming }, lifecycle)
            .await
            .map_err(|error| ConnectError::Handshake(Box::new(error)))?;
        let modern = service
            .peer_info()
            .is_some_and(|info| info.protocol_version >= ProtocolVersion::V_2026_07_28);
        let meta = modern.then(|| {
            let version = ProtocolVersion::V_2026_07_28;
            let capabilities = ClientCapabilities::default();
            RequestMetaObject::with_client_context(version, identity, capabilities)
        });
        let meta = meta.and_then(|meta| serde_json::to_value(meta).ok());
        let connection = Self { shared, meta, service, changed };
        let tools = connection.tools().await.map_err(ConnectError::List)?;
        Ok((connection, tools))
    }

    /// Asks the child for its tools, and for no more pages of them than a child can mean.
    pub(super) async fn tools(&self) -> Result<Vec<Definition>, ServiceError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES {
            let wanted = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.service.list_tools(Some(wanted)).await?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if cursor.is_some() {
            tracing::warn!(pages = PAGES, "a tool server's list of tools has no end, and was cut");
        }
        let object = |tool| match serde_json::to_value(tool) {
            Ok(Value::Object(tool)) => Some(tool),
            _ => None,
        };
        Ok(tools.iter().filter_map(object).collect())
    }

    /// Notified when the child says that its tools changed.
    pub(super) fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Calls a tool. Dropping the future tells the child that nobody waits any more.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<RawReply, CallError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if waiting.ended {
                return Err(CallError::Ended);
            }
            waiting.calls.insert(id, answered);
        }
        let mut pending = Pending { shared: &self.shared, id, sent: false };
        let request = request(id, tool, arguments, self.meta.as_ref());
        self.shared.writer.send(vec![request]).await.map_err(|Closed| CallError::Ended)?;
        pending.sent = true;
        let answer = answer.await;
        pending.sent = false; // nothing to take back
        answer.unwrap_or(Err(CallError::Ended))
    }

    /// Closes the child's stdin, which asks it to end, and lets no call wait any longer.
    pub(super) fn close(&self) {
        self.shared.writer.close();
        self.shared.end();
        self.service.cancellation_token().cancel();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
        // Whoever follows the changes finds out that there is nothing left to follow.
        self.changed.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all calls know that no answer will come.
    fn end(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        waiting.calls.clear();
    }

    fn answer(&self, id: u64, answer: Answer) {
        // A caller that does not wait any more has taken its place back, or is about to.
        if let Some(call) = self.waiting().calls.remove(&id) {
            let _ = call.send(answer);
        }
    }
}

/// A call's place among those that wait.
struct Pending<'a> {
    shared: &'a Shared,
    id: u64,
    sent: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.waiting().calls.remove(&self.id);
        if self.sent {
            let notification = serde_json::json!({
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": self.id, "reason": "the caller took the call back"},
            });
            let _ = self.shared.writer.try_send(notification.to_string().into());
        }
    }
}

fn request(id: u64, tool: &str, arguments: &Map<String, Value>, meta: Option<&Value>) -> Bytes {
    #[derive(serde::Serialize)]
    struct Request<'a> {
        jsonrpc: &'a str,
        id: u64,
        method: &'a str,
        params: Params<'a>,
    }
    #[derive(serde::Serialize)]
    struct Params<'a> {
        name: &'a str,
        arguments: &'a Map<String, Value>,
        // Never the caller's own: it names the caller and its progress token.
        #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
        meta: Option<&'a Value>,
    }
    let params = Params { name: tool, arguments, meta };
    let request = Request { jsonrpc: "2.0", id, method: "tools/call", params };
    serde_json::to_vec(&request).unwrap_or_default().into()
}

/// Reads what the child writes, to its end.
async fn read(
    mut frames: FrameReader<ChildStdout>,
    shared: Arc<Shared>,
    messages: mpsc::Sender<ServerJsonRpcMessage>,
) {
    let mut garbage = 0_u64;
    while let Ok(Some(frame)) = frames.next().await {
        match frame {
            Frame::Line(line) => match Line::read(&line, FIRST_ID) {
                Line::Answer(id, answer) => shared.answer(id, answer),
                Line::Other => {
                    // A flood of notifications must not stop the answers behind it.
                    if let Ok(message) = serde_json::from_slice(&line) {
                        let _ = messages.try_send(message);
                    }
                }
                Line::Garbage => {
                    garbage += 1;
                    if garbage.is_power_of_two() {
                        tracing::warn!(lines = garbage, "a tool server prints what is no message");
                    }
                }
            },
            Frame::TooLong(line) => match line.id().and_then(|id| id.parse().ok()) {
                Some(id) => shared.answer(id, Err(CallError::TooLong(line.bytes))),
                // It may have been any call's answer.
                None => break,
            },
        }
    }
    shared.end();
}

/// rmcp's side of the pipe.
struct Pipe {
    writer: FrameWriter,
    incoming: mpsc::Receiver<ServerJsonRpcMessage>,
}

impl Transport<RoleClient> for Pipe {
    type Error = Closed;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + 'static {
        let writer = self.writer.clone();
        async move {
            let message = serde_json::to_vec(&message).map_err(|_| Closed)?;
            writer.send(vec![message.into()]).await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        self.incoming.recv().await
    }

    async fn close(&mut self) -> Result<(), Closed> {
        self.writer.close();
        Ok(())
    }
}
