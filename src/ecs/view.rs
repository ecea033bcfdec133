//! What the tools show: the parts of AWS's answers that matter for triage. The values of
//! environment variables are not among them.

use aws_sdk_ecs::{
    primitives::{DateTime, DateTimeFormat},
    types,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Events that are shown of a service; ECS keeps 100.
const EVENTS: usize = 20;

/// A service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ServiceView {
    /// Its name.
    pub service: String,
    /// ACTIVE, DRAINING or INACTIVE.
    pub status: String,
    /// Tasks that should run.
    pub desired: i32,
    /// Tasks that run.
    pub running: i32,
    /// Tasks that are starting.
    pub pending: i32,
    /// The task definition, as family:revision.
    pub task_definition: String,
    /// FARGATE, EC2 or EXTERNAL, where no capacity provider is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// Capacity providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<String>,
    /// Deployments, the primary one first.
    pub deployments: Vec<DeploymentView>,
    /// Target groups and the ports behind them.
    pub load_balancers: Vec<LoadBalancerView>,
    /// Subnets of its tasks.
    pub subnets: Vec<String>,
    /// Security groups of its tasks.
    pub security_groups: Vec<String>,
    /// The latest events, newest first.
    pub events: Vec<EventView>,
}

/// A deployment of a service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeploymentView {
    /// PRIMARY, ACTIVE or INACTIVE.
    pub status: String,
    /// The task definition, as family:revision.
    pub task_definition: String,
    /// Tasks that should run.
    pub desired: i32,
    /// Tasks that run.
    pub running: i32,
    /// Tasks that failed to start.
    pub failed_tasks: i32,
    /// COMPLETED, FAILED or `IN_PROGRESS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_reason: Option<String>,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// A target group of a service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LoadBalancerView {
    /// The target group's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_group: Option<String>,
    /// The container that gets the traffic.
    pub container: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// An event of a service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventView {
    /// When.
    pub at: String,
    /// What.
    pub message: String,
}

/// A task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TaskView {
    /// Its id.
    pub task: String,
    /// The task definition, as family:revision.
    pub task_definition: String,
    /// What it belongs to, as in `service:web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where it is in its life.
    pub status: String,
    /// HEALTHY, UNHEALTHY or UNKNOWN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<String>,
    /// Who or what stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerView>,
}

/// A container of a task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where it is in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What it exited with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A task definition.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct TaskDefinitionView {
    /// family:revision.
    pub task_definition: String,
    /// CPU units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The role by which ECS pulls images and reads secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role: Option<String>,
    /// The role that the containers have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerDefinitionView>,
}

/// A container of a task definition.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ContainerDefinitionView {
    /// Its name.
    pub name: String,
    /// Its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether the task stops with it.
    pub essential: bool,
    /// Its memory limit in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i32>,
    /// The ports that it listens on.
    pub ports: Vec<i32>,
    /// The names of its environment variables. Their values are not shown.
    pub environment: Vec<String>,
    /// Its secrets, as NAME ← where from.
    pub secrets: Vec<String>,
    /// Its health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
    /// Its CloudWatch log group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
    /// What the names of its log streams begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_prefix: Option<String>,
}

/// The last log lines of one container of one task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogTail {
    /// The task's id.
    pub task: String,
    /// The container.
    pub container: String,
    /// The log group.
    pub group: String,
    /// The log stream.
    pub stream: String,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
}

/// A log line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogLine {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What, word for word but for secrets.
    pub message: String,
}

/// The last part of an ARN, or the text itself.
pub(super) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

pub(super) fn time(at: Option<&DateTime>) -> Option<String> {
    at?.fmt(DateTimeFormat::DateTime).ok()
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

impl From<&types::Service> for ServiceView {
    fn from(service: &types::Service) -> Self {
        let network = service
            .network_configuration()
            .and_then(types::NetworkConfiguration::awsvpc_configuration);
        let mut deployments: Vec<_> =
            service.deployments().iter().map(DeploymentView::from).collect();
        deployments.sort_by_key(|deployment| deployment.status != "PRIMARY");
        Self {
            service: text(service.service_name()),
            status: text(service.status()),
            desired: service.desired_count(),
            running: service.running_count(),
            pending: service.pending_count(),
            task_definition: short(service.task_definition().unwrap_or_default()).to_owned(),
            launch_type: service.launch_type().map(|kind| kind.as_str().to_owned()),
            capacity_providers: service
                .capacity_provider_strategy()
                .iter()
                .map(|item| item.capacity_provider().to_owned())
                .collect(),
            deployments,
            load_balancers: service
                .load_balancers()
                .iter()
                .map(|balancer| LoadBalancerView {
                    target_group: owned(balancer.target_group_arn()),
                    container: text(balancer.container_name()),
                    port: balancer.container_port(),
                })
                .collect(),
            subnets: network.map(|network| network.subnets().to_vec()).unwrap_or_default(),
            security_groups: network
                .map(|network| network.security_groups().to_vec())
                .unwrap_or_default(),
            events: service
                .events()
                .iter()
                .take(EVENTS)
                .map(|event| EventView {
                    at: time(event.created_at()).unwrap_or_default(),
                    message: text(event.message()),
                })
                .collect(),
        }
    }
}

impl From<&types::Deployment> for DeploymentView {
    fn from(deployment: &types::Deployment) -> Self {
        Self {
            status: text(deployment.status()),
            task_definition: short(deployment.task_definition().unwrap_or_default()).to_owned(),
            desired: deployment.desired_count(),
            running: deployment.running_count(),
            failed_tasks: deployment.failed_tasks(),
            rollout: deployment.rollout_state().map(|state| state.as_str().to_owned()),
            rollout_reason: owned(deployment.rollout_state_reason()),
            updated_at: time(deployment.updated_at()),
        }
    }
}

impl From<&types::Task> for TaskView {
    fn from(task: &types::Task) -> Self {
        Self {
            task: short(task.task_arn().unwrap_or_default()).to_owned(),
            task_definition: short(task.task_definition_arn().unwrap_or_default()).to_owned(),
            group: owned(task.group()),
            status: text(task.last_status()),
            health: task.health_status().map(|health| health.as_str().to_owned()),
            created_at: time(task.created_at()),
            stopped_at: time(task.stopped_at()),
            stop_code: task
                .stop_code()
                .map(|code| code.as_str().to_owned())
                .filter(|code| !code.is_empty()),
            stopped_reason: owned(task.stopped_reason()),
            containers: task
                .containers()
                .iter()
                .map(|container| ContainerView {
                    name: text(container.name()),
                    image: owned(container.image()),
                    status: owned(container.last_status()),
                    exit_code: container.exit_code(),
                    reason: owned(container.reason()),
                })
                .collect(),
        }
    }
}

impl From<&types::TaskDefinition> for TaskDefinitionView {
    fn from(definition: &types::TaskDefinition) -> Self {
        Self {
            task_definition: short(definition.task_definition_arn().unwrap_or_default()).to_owned(),
            cpu: owned(definition.cpu()),
            memory: owned(definition.memory()),
            execution_role: owned(definition.execution_role_arn()),
            task_role: owned(definition.task_role_arn()),
            containers: definition
                .container_definitions()
                .iter()
                .map(ContainerDefinitionView::from)
                .collect(),
        }
    }
}

impl From<&types::ContainerDefinition> for ContainerDefinitionView {
    fn from(container: &types::ContainerDefinition) -> Self {
        let log = container
            .log_configuration()
            .filter(|log| *log.log_driver() == types::LogDriver::Awslogs)
            .and_then(types::LogConfiguration::options);
        let option = |name: &str| log.and_then(|options| options.get(name)).cloned();
        Self {
            name: text(container.name()),
            image: owned(container.image()),
            essential: container.essential().unwrap_or(true),
            memory: container.memory(),
            ports: container
                .port_mappings()
                .iter()
                .filter_map(types::PortMapping::container_port)
                .collect(),
            environment: container
                .environment()
                .iter()
                .filter_map(|variable| owned(variable.name()))
                .collect(),
            secrets: container
                .secrets()
                .iter()
                .map(|secret| format!("{} ← {}", secret.name(), secret.value_from()))
                .collect(),
            health_check: container.health_check().map(|check| check.command().join(" ")),
            log_group: option("awslogs-group"),
            log_stream_prefix: option("awslogs-stream-prefix"),
        }
    }
}
