//! The tool servers that are switched on, and the tools that they have.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::manifest::Manifest;
use crate::{
    call::ToolName,
    config::{Config, ConfigError},
    name::ServerName,
};

/// The tool servers that are switched on, and the tools that they have as far as is known.
#[derive(Debug)]
pub struct ToolServers {
    manifests: BTreeMap<ServerName, Arc<Manifest>>,
    order: Vec<ServerName>,
    tools: RwLock<HashMap<ServerName, Arc<Vec<ServedTool>>>>,
    changed: watch::Sender<u64>,
    pub(super) reply_limit: usize,
}

/// A tool of a tool server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedTool {
    /// Its own name there.
    pub name: String,
    /// Its definition as the tool server gives it: description, schemas, annotations.
    pub definition: Map<String, Value>,
}

impl ToolServers {
    /// Reads the manifests of a configuration.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut servers = Self {
            manifests: BTreeMap::new(),
            order: Vec::new(),
            tools: RwLock::default(),
            changed: watch::channel(0).0,
            reply_limit: config.limits.reply_bytes,
        };
        for source in &config.tool_servers {
            let manifest = Manifest::read(source)?;
            let unknown_scope = manifest
                .credentials()
                .map(|needs| &needs.scope)
                .filter(|scope| !config.scopes.contains_key(scope));
            if let Some(scope) = unknown_scope {
                let message = format!("credentials.scope: scope `{scope}` is not defined");
                return Err(ConfigError::new(source.origin.clone(), message));
            }
            if let Some(recorded) = &source.recorded_tools {
                let recorded = recorded_tools(recorded).ok_or_else(|| {
                    let place = format!("tools of {}", source.origin);
                    ConfigError::new(place, "not the result of a tools/list")
                })?;
                servers.write_tools().insert(source.name.clone(), Arc::new(recorded));
            }
            servers.order.push(source.name.clone());
            servers.manifests.insert(source.name.clone(), Arc::new(manifest));
        }
        Ok(servers)
    }

    /// The names, in the order of the configuration.
    pub fn names(&self) -> &[ServerName] {
        &self.order
    }

    /// The manifest of a tool server.
    pub fn manifest(&self, name: &ServerName) -> Option<&Arc<Manifest>> {
        self.manifests.get(name)
    }

    /// The tools of a tool server, if they are known: recorded, or told by a child that ran.
    pub fn tools(&self, name: &ServerName) -> Option<Arc<Vec<ServedTool>>> {
        self.tools.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Follows changes of what [`ToolServers::tools`] tells.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn write_tools(&self) -> RwLockWriteGuard<'_, HashMap<ServerName, Arc<Vec<ServedTool>>>> {
        self.tools.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the tools that a running child has.
    pub(super) fn learn(&self, name: &ServerName, tools: Vec<ServedTool>) {
        let mut known = self.write_tools();
        if known.get(name).is_some_and(|known| **known == tools) {
            return;
        }
        tracing::info!(server = %name, tools = tools.len(), "tools changed");
        known.insert(name.clone(), Arc::new(tools));
        drop(known);
        self.changed.send_modify(|count| *count += 1);
    }
}

fn recorded_tools(text: &str) -> Option<Vec<ServedTool>> {
    let list: Value = serde_json::from_str(text).ok()?;
    list.get("tools")?.as_array()?.iter().map(|tool| served(tool.as_object()?.clone())).collect()
}

pub(super) fn served(mut definition: Map<String, Value>) -> Option<ServedTool> {
    // What a framework notes for itself differs from one of its releases to the next.
    definition.remove("_meta");
    let name = definition.get("name")?.as_str()?.to_owned();
    // One odd name could break the client's whole list.
    if !ToolName::is_tool(&name) {
        return None;
    }
    Some(ServedTool { name, definition })
}
