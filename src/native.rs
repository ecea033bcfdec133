//! The native tools: what they are called, what they take and give, and what they do.

mod arguments;
mod context;
mod triage;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

pub use self::{
    arguments::InvalidArguments,
    context::{ContextCall, ContextWork, cleared},
    triage::TriageCall,
};
use crate::{
    call::{Action, ActionKind},
    ecs::{ClusterList, Diagnosis, ServiceList, ServiceView, TaskList},
};

/// A tool of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeTool {
    /// Gives the session its AWS credentials.
    SetCredentials,
    /// Shows masked facts of them.
    GetCredentials,
    /// Gives the session the service that it works on.
    SetService,
    /// Shows it.
    GetService,
    /// Takes the credentials from a stack job.
    ExtractFromStackJob,
    /// Forgets everything.
    Clear,
    /// Lists clusters.
    ListClusters,
    /// Lists services.
    ListServices,
    /// Shows a service.
    DescribeService,
    /// Shows tasks.
    DescribeTasks,
    /// Shows log lines.
    TaskLogs,
    /// Says why a service fails.
    DiagnoseService,
}

/// A call of a tool of our own, with its arguments read.
#[derive(Debug)]
pub enum NativeCall {
    /// It works on the session itself.
    Context(ContextCall),
    /// It works with a lease.
    Triage(TriageCall),
    /// It ends what the session has made, which takes more than the session.
    Clear,
}

impl From<ContextCall> for NativeCall {
    fn from(call: ContextCall) -> Self {
        Self::Context(call)
    }
}

impl From<TriageCall> for NativeCall {
    fn from(call: TriageCall) -> Self {
        Self::Triage(call)
    }
}

/// How a tool is shown to clients.
#[derive(Debug)]
pub struct Description {
    /// For people.
    pub title: &'static str,
    /// For models: what it does and when to use it.
    pub text: &'static str,
    /// Whether it only looks.
    pub read_only: bool,
    /// Whether it forgets or overwrites something.
    pub destructive: bool,
    /// Whether it talks to AWS.
    pub open_world: bool,
    /// What it takes.
    pub input: Map<String, Value>,
    /// What it gives.
    pub output: Map<String, Value>,
}

impl NativeTool {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 12] = [
        Self::SetCredentials,
        Self::GetCredentials,
        Self::SetService,
        Self::GetService,
        Self::ExtractFromStackJob,
        Self::Clear,
        Self::ListClusters,
        Self::ListServices,
        Self::DescribeService,
        Self::DescribeTasks,
        Self::TaskLogs,
        Self::DiagnoseService,
    ];

    /// The tool of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetCredentials => "set_aws_credentials_context",
            Self::GetCredentials => "get_aws_credentials_context",
            Self::SetService => "set_service_context_info",
            Self::GetService => "get_service_context_info",
            Self::ExtractFromStackJob => "extract_and_set_credentials_from_stack_job",
            Self::Clear => "clear_credential_context",
            Self::ListClusters => "ecs_list_clusters",
            Self::ListServices => "ecs_list_services",
            Self::DescribeService => "ecs_describe_service",
            Self::DescribeTasks => "ecs_describe_tasks",
            Self::TaskLogs => "ecs_task_logs",
            Self::DiagnoseService => "ecs_diagnose_service",
        }
    }

    /// What a call of it does.
    pub fn action(self, arguments: &Map<String, Value>) -> Action {
        let (name, kind) = match self {
            Self::SetCredentials => ("subrosa.context.SetCredentials", ActionKind::Session),
            Self::GetCredentials => ("subrosa.context.GetCredentials", ActionKind::Session),
            Self::SetService => ("subrosa.context.SetService", ActionKind::Session),
            Self::GetService => ("subrosa.context.GetService", ActionKind::Session),
            Self::ExtractFromStackJob => ("subrosa.context.ExtractStackJob", ActionKind::Session),
            Self::Clear => ("subrosa.context.Clear", ActionKind::Session),
            Self::ListClusters => ("aws.ecs.ListClusters", ActionKind::Read),
            Self::ListServices => ("aws.ecs.ListServices", ActionKind::Read),
            Self::DescribeService => ("aws.ecs.DescribeServices", ActionKind::Read),
            Self::DescribeTasks => ("aws.ecs.DescribeTasks", ActionKind::Read),
            Self::TaskLogs => ("aws.logs.GetLogEvents", ActionKind::Read),
            Self::DiagnoseService => ("subrosa.ecs.DiagnoseService", ActionKind::Read),
        };
        let part = |name| arguments.get(name).and_then(Value::as_str);
        let resource = match (part("cluster"), part("service")) {
            (Some(cluster), Some(service)) => Some(format!("{cluster}/{service}")),
            (Some(cluster), None) => Some(cluster.to_owned()),
            _ => None,
        };
        Action { name: name.to_owned(), kind, resource }
    }

    /// Reads the arguments of a call.
    pub fn read(self, arguments: &Map<String, Value>) -> Result<NativeCall, InvalidArguments> {
        use arguments::{Nothing, read};
        let nothing = || read::<Nothing>(arguments);
        Ok(match self {
            Self::SetCredentials => ContextCall::SetCredentials(read(arguments)?).into(),
            Self::GetCredentials => nothing().map(|_| ContextCall::GetCredentials)?.into(),
            Self::SetService => ContextCall::SetService(read(arguments)?).into(),
            Self::GetService => nothing().map(|_| ContextCall::GetService)?.into(),
            Self::ExtractFromStackJob => ContextCall::ExtractFromStackJob(read(arguments)?).into(),
            Self::Clear => nothing().map(|_| NativeCall::Clear)?,
            Self::ListClusters => TriageCall::ListClusters(read(arguments)?).into(),
            Self::ListServices => TriageCall::ListServices(read(arguments)?).into(),
            Self::DescribeService => TriageCall::DescribeService(read(arguments)?).into(),
            Self::DescribeTasks => TriageCall::DescribeTasks(read(arguments)?).into(),
            Self::TaskLogs => TriageCall::TaskLogs(read(arguments)?).into(),
            Self::DiagnoseService => TriageCall::DiagnoseService(read(arguments)?).into(),
        })
    }

    /// How it is shown to clients.
    pub fn description(self) -> Description {
        let (title, text) = words(self);
        let (input, output) = match self {
            Self::SetCredentials => {
                (schema::<context::SetCredentials>(), schema::<context::Done>())
            }
            Self::GetCredentials => {
                (schema::<arguments::Nothing>(), schema::<context::CredentialFacts>())
            }
            Self::SetService => (schema::<context::SetService>(), schema::<context::Done>()),
            Self::GetService => (schema::<arguments::Nothing>(), object()),
            Self::ExtractFromStackJob => {
                (schema::<context::ExtractFromStackJob>(), schema::<context::Done>())
            }
            Self::Clear => (schema::<arguments::Nothing>(), schema::<context::Done>()),
            Self::ListClusters => (schema::<triage::ListClusters>(), schema::<ClusterList>()),
            Self::ListServices => (schema::<triage::ListServices>(), schema::<ServiceList>()),
            Self::DescribeService => (schema::<triage::OneService>(), schema::<ServiceView>()),
            Self::DescribeTasks => (schema::<triage::DescribeTasks>(), schema::<TaskList>()),
            Self::TaskLogs => (schema::<triage::TaskLogs>(), schema::<triage::Logs>()),
            Self::DiagnoseService => (schema::<triage::OneService>(), schema::<Diagnosis>()),
        };
        let writes = matches!(
            self,
            Self::SetCredentials | Self::SetService | Self::ExtractFromStackJob | Self::Clear
        );
        Description {
            title,
            text,
            read_only: !writes,
            destructive: self == Self::Clear,
            open_world: self.action(&Map::new()).kind != ActionKind::Session,
            input,
            output,
        }
    }
}

fn words(tool: NativeTool) -> (&'static str, &'static str) {
    match tool {
        NativeTool::SetCredentials => (
            "Set AWS credentials",
            "Chooses the AWS credentials that this session works with. Prefer a reference to an \
             integration that the operator configured, {\"integration\": \"NAME\"}: then no key is \
             in the conversation. Keys themselves ({\"access_key_id\", \"secret_access_key\", \
             \"session_token\"?, \"region\"?}) are accepted if the user has already given them to \
             you; do not ask for them. All other tools use what is set here by themselves; you \
             will never need the secret again.",
        ),
        NativeTool::GetCredentials => (
            "Show AWS credentials, masked",
            "Shows which AWS account, identity and region this session works with, and until when. \
             Secrets are never shown, and no tool needs them from you. Says {\"error\": …} if \
             nothing is set.",
        ),
        NativeTool::SetService => (
            "Set the service",
            "Keeps what is known of the service that this session works on (a JSON object, for \
             instance service_id, cluster, region), so that other agents of the same session find \
             it with get_service_context_info. Put no secrets in it.",
        ),
        NativeTool::GetService => (
            "Show the service",
            "Shows what set_service_context_info has kept: the service that this session works on. \
             Says {\"error\": …} if nothing is set.",
        ),
        NativeTool::ExtractFromStackJob => (
            "Set AWS credentials from a stack job",
            "Takes a Planton Cloud stack job, finds which credential it was deployed with, and \
             makes this session work with that. Use it first when you have a stack job: you need \
             not read the credential id yourself, and you will never see the secret.",
        ),
        NativeTool::Clear => (
            "Clear the session",
            "Forgets the session's credentials and service, ends its leases and the tool servers \
             that work with them. Call it when the work is done.",
        ),
        NativeTool::ListClusters => (
            "List ECS clusters",
            "Lists the names of the ECS clusters of a region. Credentials come from the session.",
        ),
        NativeTool::ListServices => (
            "List ECS services",
            "Lists the names of the services of an ECS cluster. Credentials come from the session.",
        ),
        NativeTool::DescribeService => (
            "Describe an ECS service",
            "Shows an ECS service: its counts, deployments, load balancers, network and latest \
             events. To find out why a service fails, call ecs_diagnose_service first: it looks at \
             all of this and more at once.",
        ),
        NativeTool::DescribeTasks => (
            "Describe ECS tasks",
            "Shows running tasks of a cluster or service, or with `stopped` those that stopped in \
             about the last hour, with the reasons and exit codes of their containers.",
        ),
        NativeTool::TaskLogs => (
            "Read the logs of an ECS task",
            "Shows the last log lines of the containers of a task, running or stopped, from \
             CloudWatch Logs. Secrets in them are blotted out.",
        ),
        NativeTool::DiagnoseService => (
            "Diagnose an ECS service",
            "Says why an ECS service fails. Looks at the service, its deployments and events, its \
             running and stopped tasks, its task definition and last log lines, all at once, and \
             answers with the probable root cause, findings with evidence word for word, and next \
             steps. Call this first for any question about a failing service.",
        ),
    }
}

fn schema<T: JsonSchema>() -> Map<String, Value> {
    // Inlined: some clients do not follow references.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        settings.transforms.push(Box::new(RecursiveTransform(portable)));
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    match schema.to_value() {
        Value::Object(mut schema) => {
            schema.remove("title");
            schema
        }
        _ => object(),
    }
}

/// Leaves out what not every client understands: `int32` and the like are formats of OpenAPI, and
/// what may be left out here is never `null`.
fn portable(schema: &mut Schema) {
    schema.remove("format");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &mut **types {
            let only = only.take();
            schema.insert("type".into(), only);
        }
    }
}

fn object() -> Map<String, Value> {
    Map::from_iter([(String::from("type"), Value::from("object"))])
}
