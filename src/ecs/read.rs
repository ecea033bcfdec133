//! Reading from the ECS API.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs as cloudwatch;
use aws_sdk_ecs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
    types::{ContainerDefinition, DesiredStatus, Service, Task, TaskDefinition},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::view::{ServiceView, TaskDefinitionView, TaskView, short};
use crate::{
    aws::{Aws, Failure},
    lease::Lease,
    parse_error,
    redact::Redactor,
};

/// A list is cut after this many entries; `DescribeTasks` takes no more at once.
const LIST: usize = 100;
/// Pages of a list that are read at the most.
const PAGES: usize = 20;

/// The ECS and log APIs, with one lease.
pub struct Ecs {
    client: Client,
    pub(super) logs: cloudwatch::Client,
    redactor: Arc<Redactor>,
}

/// Why a tool has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// AWS said no.
    #[error("{0}")]
    Aws(Failure),
    /// There is no such service.
    #[error(
        "service `{service}` was not found in cluster `{cluster}`{hint}; ecs_list_services lists \
         the services of a cluster"
    )]
    NoService {
        /// What was asked for.
        service: String,
        /// Where.
        cluster: String,
        /// What was meant.
        hint: String,
    },
    /// There is no such cluster.
    #[error(
        "cluster `{cluster}` was not found in region {region}; ecs_list_clusters lists the \
         clusters of a region"
    )]
    NoCluster {
        /// What was asked for.
        cluster: String,
        /// Where.
        region: String,
    },
    /// There is no such task.
    #[error(
        "task `{task}` was not found in cluster `{cluster}`; ECS forgets a stopped task after \
         about an hour"
    )]
    NoTask {
        /// What was asked for.
        task: String,
        /// Where.
        cluster: String,
    },
    /// The task has no such container.
    #[error("the task has no container `{container}`; it has: {}", .all.join(", "))]
    NoContainer {
        /// What was asked for.
        container: String,
        /// Those that there are.
        all: Vec<String>,
    },
    /// The logs are not in CloudWatch.
    #[error("no container of task `{task}` writes to CloudWatch Logs (log driver `awslogs`)")]
    NoLogs {
        /// The task.
        task: String,
    },
}

impl EcsError {
    /// What to tell a model, with AWS's own words. For redaction, never for a log.
    pub fn words(&self) -> String {
        match self {
            Self::Aws(failure) => failure.words(),
            other => other.to_string(),
        }
    }
}

/// The clusters of a region.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClusterList {
    /// The region.
    pub region: String,
    /// Names.
    pub clusters: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// The services of a cluster.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceList {
    /// The cluster.
    pub cluster: String,
    /// Names.
    pub services: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Tasks of a cluster.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskList {
    /// The cluster.
    pub cluster: String,
    /// The tasks, newest first.
    pub tasks: Vec<TaskView>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Which tasks.
#[derive(Debug, Default)]
pub struct TaskFilter {
    /// Only those of a service.
    pub service: Option<String>,
    /// Only these.
    pub tasks: Vec<String>,
    /// Stopped ones instead of running ones.
    pub stopped: bool,
}

impl Ecs {
    /// The APIs, with a lease and in its region.
    pub async fn new(aws: &Aws, lease: &Lease, redactor: Arc<Redactor>) -> Self {
        let config = aws.config_of(lease).await;
        Self { client: Client::new(&config), logs: cloudwatch::Client::new(&config), redactor }
    }

    fn region(&self) -> String {
        self.client.config().region().map(ToString::to_string).unwrap_or_default()
    }

    /// The clusters of the region.
    pub async fn clusters(&self) -> Result<ClusterList, EcsError> {
        let mut pages = self.client.list_clusters().into_paginator().send();
        let mut clusters = Vec::new();
        let mut truncated = true;
        for _ in 0..PAGES {
            let Some(page) = pages.next().await else {
                truncated = false;
                break;
            };
            let page = page.map_err(|error| failed("ecs:ListClusters", &error))?;
            clusters.extend(page.cluster_arns().iter().map(|arn| short(arn).to_owned()));
        }
        Ok(ClusterList { region: self.region(), clusters, truncated })
    }

    /// The services of a cluster.
    pub async fn services(&self, cluster: &str) -> Result<ServiceList, EcsError> {
        let request = self.client.list_services().cluster(cluster).max_results(100);
        let mut pages = request.into_paginator().send();
        let mut services = Vec::new();
        let mut truncated = true;
        for _ in 0..PAGES {
            let Some(page) = pages.next().await else {
                truncated = false;
                break;
            };
            let page =
                page.map_err(|error| self.in_cluster(cluster, failed("ecs:ListServices", &error)))?;
            services.extend(page.service_arns().iter().map(|arn| short(arn).to_owned()));
        }
        Ok(ServiceList { cluster: short(cluster).to_owned(), services, truncated })
    }

    /// A service.
    pub async fn service(&self, cluster: &str, service: &str) -> Result<Service, EcsError> {
        let answer = self
            .client
            .describe_services()
            .cluster(cluster)
            .services(service)
            .send()
            .await
            .map_err(|error| self.in_cluster(cluster, failed("ecs:DescribeServices", &error)))?;
        if let Some(found) = answer.services.unwrap_or_default().into_iter().next() {
            return Ok(found);
        }
        let known = self.services(cluster).await.map(|list| list.services).unwrap_or_default();
        let hint = parse_error::meant(service, known.iter().map(String::as_str))
            .map(|meant| format!(" (there is one named `{meant}`)"))
            .unwrap_or_default();
        Err(EcsError::NoService { service: service.to_owned(), cluster: cluster.to_owned(), hint })
    }

    /// A service, as it is shown.
    pub async fn service_view(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<ServiceView, EcsError> {
        self.service(cluster, service).await.map(|service| ServiceView::from(&service))
    }

    /// A task definition.
    pub(super) async fn task_definition(&self, name: &str) -> Result<TaskDefinition, EcsError> {
        let answer = self
            .client
            .describe_task_definition()
            .task_definition(name)
            .send()
            .await
            .map_err(|error| failed("ecs:DescribeTaskDefinition", &error))?;
        let definition =
            answer.task_definition.unwrap_or_else(|| TaskDefinition::builder().build());
        let containers = definition.container_definitions().iter();
        for variable in containers.flat_map(ContainerDefinition::environment) {
            if let (Some(name), Some(value)) = (variable.name(), variable.value()) {
                self.redactor.learn_named(name, value);
            }
        }
        Ok(definition)
    }

    /// A task definition, as it is shown.
    pub(super) async fn task_definition_view(
        &self,
        name: &str,
    ) -> Result<TaskDefinitionView, EcsError> {
        self.task_definition(name).await.map(|definition| TaskDefinitionView::from(&definition))
    }

    /// Tasks, as they are shown.
    pub async fn tasks(&self, cluster: &str, filter: &TaskFilter) -> Result<TaskList, EcsError> {
        let (arns, truncated) = if filter.tasks.is_empty() {
            self.list_tasks(cluster, filter).await?
        } else {
            let cut = filter.tasks.len() > LIST;
            (filter.tasks.iter().take(LIST).cloned().collect(), cut)
        };
        let mut tasks = self.describe_tasks(cluster, arns).await?;
        if let (Some(task), true) = (filter.tasks.first(), tasks.is_empty()) {
            return Err(EcsError::NoTask { task: task.clone(), cluster: cluster.to_owned() });
        }
        tasks.sort_by_key(|task| std::cmp::Reverse(newest(task)));
        Ok(TaskList {
            cluster: short(cluster).to_owned(),
            tasks: tasks.iter().map(TaskView::from).collect(),
            truncated,
        })
    }

    async fn list_tasks(
        &self,
        cluster: &str,
        filter: &TaskFilter,
    ) -> Result<(Vec<String>, bool), EcsError> {
        let status = if filter.stopped { DesiredStatus::Stopped } else { DesiredStatus::Running };
        let answer = self
            .client
            .list_tasks()
            .cluster(cluster)
            .set_service_name(filter.service.clone())
            .desired_status(status)
            .send()
            .await
            .map_err(|error| self.in_cluster(cluster, failed("ecs:ListTasks", &error)))?;
        let truncated = answer.next_token.is_some();
        Ok((answer.task_arns.unwrap_or_default(), truncated))
    }

    pub(super) async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: Vec<String>,
    ) -> Result<Vec<Task>, EcsError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(tasks))
            .send()
            .await
            .map_err(|error| self.in_cluster(cluster, failed("ecs:DescribeTasks", &error)))?;
        Ok(answer.tasks.unwrap_or_default())
    }

    fn in_cluster(&self, cluster: &str, error: EcsError) -> EcsError {
        match error {
            EcsError::Aws(failure) if failure.code() == Some("ClusterNotFoundException") => {
                EcsError::NoCluster { cluster: cluster.to_owned(), region: self.region() }
            }
            other => other,
        }
    }
}

pub(super) fn newest(task: &Task) -> Option<i64> {
    task.stopped_at().or(task.created_at()).map(DateTime::secs)
}

fn failed<E: ProvideErrorMetadata, R>(operation: &'static str, error: &SdkError<E, R>) -> EcsError {
    EcsError::Aws(Failure::new(operation, error))
}
