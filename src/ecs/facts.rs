//! All that is known of a service, gathered at once.

use futures::future::join_all;

use super::{
    logs::{Stream, streams},
    read::{Ecs, EcsError, TaskFilter},
    view::{LogTail, ServiceView, TaskDefinitionView, TaskView},
};

/// Stopped tasks whose logs are read, the latest ones. Several, because a task that never started
/// has none.
const LOGGED_TASKS: usize = 5;
/// Lines that are read of each of their containers.
const LINES: u16 = 30;

/// What is known of a service.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) cluster: String,
    pub(super) service: ServiceView,
    /// Newest first.
    pub(super) running: Vec<TaskView>,
    /// Newest first.
    pub(super) stopped: Vec<TaskView>,
    pub(super) definition: Option<TaskDefinitionView>,
    pub(super) logs: Vec<LogTail>,
    /// What could not be read, and why.
    pub(super) gaps: Vec<String>,
}

/// Gathers what is known of a service. Only without the service itself is there nothing to say;
/// anything else that cannot be read is told as a gap.
pub(super) async fn gather(ecs: &Ecs, cluster: &str, name: &str) -> Result<Facts, EcsError> {
    let of_service =
        |stopped| TaskFilter { service: Some(name.to_owned()), tasks: Vec::new(), stopped };
    let (running, stopped) = (of_service(false), of_service(true));
    let (service, running, stopped) = tokio::join!(
        ecs.service(cluster, name),
        ecs.tasks(cluster, &running),
        ecs.tasks(cluster, &stopped),
    );
    let service = service?;
    let mut gaps = Vec::new();
    let mut tasks = |tasks: Result<super::TaskList, EcsError>, what: &str| match tasks {
        Ok(list) => {
            if list.truncated {
                gaps.push(format!("there are more {what} than were looked at"));
            }
            list.tasks
        }
        Err(error) => {
            gaps.push(format!("{what} could not be read: {}", error.words()));
            Vec::new()
        }
    };
    let running = tasks(running, "running tasks");
    let stopped = tasks(stopped, "stopped tasks");
    let failed = stopped.iter().find(|task| !was_replaced(task)).map(|task| &*task.task_definition);
    let definition = match failed.or(service.task_definition()) {
        None => None,
        Some(name) => match ecs.task_definition_view(name).await {
            Ok(definition) => Some(definition),
            Err(error) => {
                gaps.push(format!("the task definition could not be read: {}", error.words()));
                None
            }
        },
    };
    let mut facts = Facts {
        cluster: super::view::short(cluster).to_owned(),
        service: ServiceView::from(&service),
        running,
        stopped,
        definition,
        logs: Vec::new(),
        gaps,
    };
    read_logs(ecs, &mut facts).await;
    Ok(facts)
}

/// Whether ECS stopped a task because it was not needed any more. Any other stopped task tells what
/// fails, also after a rollback, when the service names the revision before.
fn was_replaced(task: &TaskView) -> bool {
    task.stopped_reason.as_deref().is_some_and(|reason| reason.starts_with("Scaling activity"))
}

/// The logs of the latest stopped tasks; of running ones where none has stopped.
async fn read_logs(ecs: &Ecs, facts: &mut Facts) {
    let Some(definition) = &facts.definition else {
        return;
    };
    let tasks = if facts.stopped.is_empty() { &facts.running } else { &facts.stopped };
    let wanted: Vec<Stream> =
        tasks.iter().take(LOGGED_TASKS).flat_map(|task| streams(definition, &task.task)).collect();
    for tail in join_all(wanted.into_iter().map(|stream| ecs.tail(stream, LINES))).await {
        match tail {
            Ok(tail) if tail.lines.is_empty() => {}
            Ok(tail) => facts.logs.push(tail),
            // A container that never started has no stream.
            Err(failure) if failure.code() == Some("ResourceNotFoundException") => {}
            Err(failure) => {
                let gap = format!("log lines could not be read: {}", failure.words());
                if !facts.gaps.contains(&gap) {
                    facts.gaps.push(gap);
                }
            }
        }
    }
}
