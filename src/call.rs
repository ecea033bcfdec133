//! One `tools/call` as data: what was asked for, and what came back.
//!
//! A call goes one way, and each stage takes the value that only the stage before can make:
//! [`ToolCall`] → [`PermittedCall`](crate::policy::PermittedCall) → [`Lease`](crate::lease::Lease)
//! → [`RawReply`] → [`Redacted`](crate::redact::Redacted)`<Reply>`.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroize as _;

use crate::{
    ids,
    name::{ScopeName, ServerName},
    session::Session,
};

/// Which tool is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolName {
    /// One of our own.
    Native(&'static str),
    /// A tool server's, listed as `<server>__<tool>`.
    Served {
        /// The tool server.
        server: ServerName,
        /// The tool's own name there.
        tool: String,
    },
}

impl ToolName {
    /// What stands between a tool server's name and its tool's.
    pub const SEPARATOR: &str = "__";
    /// A tool's name is at most this long (MCP specification, "Tool Names").
    pub const LONGEST: usize = 128;

    /// Whether a text can be a tool's name (MCP specification, "Tool Names").
    pub fn is_tool(text: &str) -> bool {
        (1..=Self::LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(name) => f.write_str(name),
            Self::Served { server, tool } => write!(f, "{server}{}{tool}", Self::SEPARATOR),
        }
    }
}

/// What a call does, as policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Touches nothing but the caller's own session.
    Session,
    /// Looks.
    Read,
    /// Prints a credential.
    Credential,
    /// Leads away from the lease: to other credentials, another host, or a file of the machine.
    Escape,
    /// Shows values without the names that tell which of them are secrets.
    Nameless,
    /// Changes something.
    Write,
    /// Cannot be told from the arguments.
    Unknown,
}

/// What a call does, by name: `aws.ecs.DescribeServices`.
#[derive(Clone, Debug)]
pub struct Action {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: ActionKind,
    /// What it is done to, where the arguments tell.
    pub resource: Option<String>,
}

/// What a tool is called with. It may hold secrets: no `Debug` shows them, and they are wiped.
#[derive(Default)]
pub struct Arguments(Map<String, Value>);

impl From<Map<String, Value>> for Arguments {
    fn from(arguments: Map<String, Value>) -> Self {
        Self(arguments)
    }
}

impl Deref for Arguments {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A call, not decided yet.
#[derive(Debug)]
pub struct ToolCall {
    /// The session that it is made in.
    pub session: Arc<Session>,
    /// The tool.
    pub tool: ToolName,
    /// The arguments.
    pub arguments: Arguments,
    /// What it does.
    pub action: Action,
    /// The scope that the tool wants where it only looks.
    pub looks_with: ScopeName,
    /// Ties the audit records and log lines of this call together.
    pub correlation: String,
}

impl ToolCall {
    /// A call of a tool in a session, which looks with the scope `read-only`.
    pub fn new(
        session: Arc<Session>,
        tool: ToolName,
        arguments: Arguments,
        action: Action,
    ) -> Self {
        let correlation = ids::random("call_");
        Self { session, tool, arguments, action, looks_with: ScopeName::read_only(), correlation }
    }
}

/// What goes back for a call: the bytes of a `CallToolResult`, or of a JSON-RPC error object.
#[derive(Clone)]
pub enum Reply {
    /// A `CallToolResult` object.
    Result {
        /// Its bytes.
        json: Bytes,
        /// Its `isError`.
        is_error: bool,
        /// Whether it has a `resultType`, as results of revision 2026-07-28 do.
        typed: bool,
    },
    /// A JSON-RPC error object.
    Error(Bytes),
}

impl Reply {
    /// The bytes.
    pub fn json(&self) -> &Bytes {
        match self {
            Self::Result { json, .. } | Self::Error(json) => json,
        }
    }

    /// Whether it says that something went wrong.
    pub fn failed(&self) -> bool {
        !matches!(self, Self::Result { is_error: false, .. })
    }
}

/// A reply as it came from a tool. It may hold secrets; only the redactor takes it apart.
pub struct RawReply(Reply);

impl RawReply {
    /// A `CallToolResult` from a tool server.
    pub fn from_server(json: Bytes, is_error: bool, typed: bool) -> Self {
        Self(Reply::Result { json, is_error, typed })
    }

    /// A JSON-RPC error object, from a tool server or made with [`RawReply::protocol_error`].
    pub fn from_server_error(json: Bytes) -> Self {
        Self(Reply::Error(json))
    }

    /// Structured content, with its JSON as text for clients that show only that.
    pub fn data(content: &impl Serialize) -> Self {
        let content = serde_json::to_value(content).unwrap_or_else(|_| json!({}));
        Self::result(vec![content.to_string()], Some(content), false)
    }

    /// Several blocks of text, and structured content.
    pub fn blocks(texts: Vec<String>, content: Value) -> Self {
        Self::result(texts, Some(content), false)
    }

    /// What went wrong, for the model to read.
    pub fn error(text: impl Into<String>) -> Self {
        Self::result(vec![text.into()], None, true)
    }

    /// A request that cannot be routed (JSON-RPC 2.0, section 5.1).
    pub fn protocol_error(code: i32, message: impl fmt::Display) -> Self {
        let error = json!({"code": code, "message": message.to_string()});
        Self(Reply::Error(error.to_string().into()))
    }

    fn result(texts: Vec<String>, content: Option<Value>, is_error: bool) -> Self {
        let blocks: Vec<Value> =
            texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect();
        let mut result = Map::new();
        result.insert("content".into(), blocks.into());
        if let Some(content) = content {
            result.insert("structuredContent".into(), content);
        }
        result.insert("isError".into(), is_error.into());
        let json = Value::Object(result).to_string().into();
        Self(Reply::Result { json, is_error, typed: false })
    }

    pub(crate) fn into_untrusted(self) -> Reply {
        self.0
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = if self.failed() { ", failed" } else { "" };
        write!(f, "Reply({} bytes{failed})", self.json().len())
    }
}

impl fmt::Debug for RawReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw{:?}", self.0)
    }
}
