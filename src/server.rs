//! The MCP server: rmcp speaks the protocol (both revisions), [`Enforcement`] does the calls.

mod lane;
mod stdio;
mod tools;

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation,
        ListPromptsRequestMethod, ListPromptsResult, ListResourceTemplatesRequestMethod,
        ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ResultType, ServerCapabilities, ServerConfig,
        SubscriptionFilter,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

pub use self::stdio::{ServeError, serve};
use crate::{call::Reply, config::Config, enforcement::Enforcement, name::IntegrationName};

/// What the client's model is told of this server.
const INSTRUCTIONS: &str = "\
Works on AWS accounts for you without ever showing you a credential. Start by choosing whose \
credentials this session works with: extract_and_set_credentials_from_stack_job if you have a \
Planton stack job, else set_aws_credentials_context with {\"integration\": NAME}; with neither, the \
credentials of the server's own environment are used if there are any. Never ask the user for keys \
and never repeat one. For a failing ECS service call ecs_diagnose_service first. Text such as \
[redacted: …] stands for a secret that was taken out. Call clear_credential_context when done.";

/// What it is told of this configuration.
fn instructions(config: &Config) -> String {
    let mut text = String::from(INSTRUCTIONS);
    let integrations: Vec<&str> = config.integrations.keys().map(IntegrationName::as_str).collect();
    if !integrations.is_empty() {
        text.extend([" Integrations: ", &integrations.join(", "), "."]);
    }
    let writes: Vec<&str> =
        config.allowed_writes.iter().map(|write| write.action.as_str()).collect();
    text.push_str(" A call that would change something is denied, with the reason");
    match writes.as_slice() {
        [] => text.push('.'),
        writes => text.extend([", but for these: ", &writes.join(", "), "."]),
    }
    text
}

/// The handler of one connection.
#[derive(Clone)]
pub(crate) struct Server {
    enforcement: Arc<Enforcement>,
}

impl Server {
    pub(crate) fn new(enforcement: Arc<Enforcement>) -> Self {
        Self { enforcement }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        let config = self.enforcement.shared().config();
        let identity = Implementation::new("subrosa", env!("CARGO_PKG_VERSION"))
            .with_title("subrosa: cloud credentials, kept sub rosa");
        ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(instructions(config))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::list(&self.enforcement).await))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let reply = self.enforcement.call(&request.name, arguments, &context.ct).await;
        // rmcp drops the answer to a cancelled call.
        let cancelled = || ErrorData::internal_error("cancelled", None);
        let malformed = |_| ErrorData::internal_error("the reply could not be read", None);
        match reply.ok_or_else(cancelled)?.into_inner() {
            Reply::Result { json, .. } => {
                let result: CallToolResult = serde_json::from_slice(&json).map_err(malformed)?;
                Ok(complete(result).into())
            }
            Reply::Error(json) => Err(serde_json::from_slice(&json).map_err(malformed)?),
        }
    }

    // rmcp answers these with empty lists even where they are not declared.
    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    /// Clients up to revision 2025-11-25 are told of changes from here on.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut changes = self.enforcement.shared().servers().changes();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                if context.peer.notify_tool_list_changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    /// Clients of revision 2026-07-28 ask to be told.
    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.enforcement.shared().servers().changes();
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                changed = changes.changed() => {
                    let told = subscription.sink().notify_tool_list_changed().await;
                    if changed.is_err() || told.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Revision 2026-07-28 wants to be told that a result is complete; rmcp takes it out for others.
fn complete(mut result: CallToolResult) -> CallToolResult {
    result.result_type.get_or_insert(ResultType::COMPLETE);
    result
}
