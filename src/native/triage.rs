//! The ECS tools.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aws::Aws,
    call::RawReply,
    ecs::{Ecs, EcsError, LogTail, TaskFilter, diagnose},
    lease::{Lease, Region},
    redact::Redactor,
};

/// Lines of a log that are shown if nothing is said.
const LINES: u16 = 50;

/// A call of an ECS tool.
#[derive(Debug)]
pub enum TriageCall {
    /// Lists clusters.
    ListClusters(ListClusters),
    /// Lists services.
    ListServices(ListServices),
    /// Shows a service.
    DescribeService(OneService),
    /// Shows tasks.
    DescribeTasks(DescribeTasks),
    /// Shows log lines.
    TaskLogs(TaskLogs),
    /// Says why a service fails.
    DiagnoseService(OneService),
}

/// What `ecs_list_clusters` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct ListClusters {
    /// The AWS region; the session's if left out.
    #[schemars(with = "Option<String>")]
    region: Option<Region>,
}

/// What `ecs_list_services` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct ListServices {
    /// The cluster's name or ARN.
    cluster: String,
    /// The AWS region; the session's if left out.
    #[schemars(with = "Option<String>")]
    region: Option<Region>,
}

/// What `ecs_describe_service` and `ecs_diagnose_service` take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct OneService {
    /// The cluster's name or ARN.
    cluster: String,
    /// The service's name or ARN.
    service: String,
    /// The AWS region; the session's if left out.
    #[schemars(with = "Option<String>")]
    region: Option<Region>,
}

/// What `ecs_describe_tasks` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct DescribeTasks {
    /// The cluster's name or ARN.
    cluster: String,
    /// Only tasks of this service.
    service: Option<String>,
    /// Only these tasks, by id or ARN.
    #[serde(default)]
    tasks: Vec<String>,
    /// Tasks that stopped in about the last hour instead of running ones.
    #[serde(default)]
    stopped: bool,
    /// The AWS region; the session's if left out.
    #[schemars(with = "Option<String>")]
    region: Option<Region>,
}

/// What `ecs_task_logs` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "")]
pub struct TaskLogs {
    /// The cluster's name or ARN.
    cluster: String,
    /// The task's id or ARN.
    task: String,
    /// Only this container.
    container: Option<String>,
    /// How many lines of each container; 50 if left out, 200 at the most.
    #[schemars(range(min = 1, max = 200))]
    lines: Option<u16>,
    /// The AWS region; the session's if left out.
    #[schemars(with = "Option<String>")]
    region: Option<Region>,
}

/// Log lines of a task.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Logs {
    /// One for each container that has written.
    logs: Vec<LogTail>,
}

impl TriageCall {
    /// The region that the call names, if it does.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::ListClusters(wanted) => wanted.region.as_ref(),
            Self::ListServices(wanted) => wanted.region.as_ref(),
            Self::DescribeService(wanted) | Self::DiagnoseService(wanted) => wanted.region.as_ref(),
            Self::DescribeTasks(wanted) => wanted.region.as_ref(),
            Self::TaskLogs(wanted) => wanted.region.as_ref(),
        }
    }

    /// Asks AWS, with a lease. The redactor learns what it must find where its name does not stand
    /// beside it: in log lines.
    pub async fn run(self, aws: &Aws, lease: &Lease, redactor: &Arc<Redactor>) -> RawReply {
        let ecs = Ecs::new(aws, lease, Arc::clone(redactor)).await;
        match self {
            Self::ListClusters(_) => reply(ecs.clusters().await),
            Self::ListServices(wanted) => reply(ecs.services(&wanted.cluster).await),
            Self::DescribeService(wanted) => {
                reply(ecs.service_view(&wanted.cluster, &wanted.service).await)
            }
            Self::DescribeTasks(wanted) => {
                let filter = TaskFilter {
                    service: wanted.service,
                    tasks: wanted.tasks,
                    stopped: wanted.stopped,
                };
                reply(ecs.tasks(&wanted.cluster, &filter).await)
            }
            Self::TaskLogs(wanted) => {
                let (container, lines) = (wanted.container.as_deref(), wanted.lines);
                let lines = lines.unwrap_or(LINES);
                let logs = ecs.task_logs(&wanted.cluster, &wanted.task, container, lines).await;
                reply(logs.map(|logs| Logs { logs }))
            }
            Self::DiagnoseService(wanted) => {
                reply(diagnose(&ecs, &wanted.cluster, &wanted.service).await)
            }
        }
    }
}

fn reply<T: Serialize>(answer: Result<T, EcsError>) -> RawReply {
    match answer {
        Ok(answer) => RawReply::data(&answer),
        Err(error) => RawReply::error(error.words()),
    }
}
