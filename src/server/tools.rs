//! The list of tools: our own, then those of the tool servers.

use std::sync::Arc;

use futures::future::join_all;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value};

use crate::{
    call::ToolName, enforcement::Enforcement, name::ServerName, native::NativeTool,
    toolserver::ServedTool,
};

/// All tools, always in the same order. Tool servers that have not told yet which tools they have
/// are asked, side by side; one that does not answer is left out.
pub(super) async fn list(enforcement: &Enforcement) -> Vec<Tool> {
    let servers = enforcement.shared().servers();
    let unknown = servers.names().iter().filter(|name| servers.tools(name).is_none());
    join_all(unknown.map(|name| async move {
        if let Err(problem) = enforcement.discover(name).await {
            tracing::warn!(server = %name, %problem, "its tools are not known, and not listed");
        }
    }))
    .await;
    let native = NativeTool::ALL.into_iter().map(native);
    let served = servers.names().iter().flat_map(|name| {
        let tools = servers.tools(name).unwrap_or_default();
        tools.iter().filter_map(|tool| served(name, tool)).collect::<Vec<_>>()
    });
    native.chain(served).collect()
}

fn native(tool: NativeTool) -> Tool {
    let description = tool.description();
    let annotations = ToolAnnotations::with_title(description.title)
        .read_only(description.read_only)
        .destructive(description.destructive)
        .idempotent(true)
        .open_world(description.open_world);
    let mut listed = Tool::new(tool.name(), description.text, Arc::new(description.input));
    listed.title = Some(description.title.to_owned());
    listed.output_schema = Some(Arc::new(description.output));
    listed.annotations = Some(annotations);
    listed
}

/// A tool server's tool, with its schemas as they are.
fn served(server: &ServerName, tool: &ServedTool) -> Option<Tool> {
    let mut definition: Map<String, Value> = tool.definition.clone();
    let name = ToolName::Served { server: server.clone(), tool: tool.name.clone() };
    definition.insert("name".into(), name.to_string().into());
    serde_json::from_value(Value::Object(definition)).ok()
}
