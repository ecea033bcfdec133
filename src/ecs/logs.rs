//! The last log lines of tasks.

use futures::future::join_all;

use super::{
    read::{Ecs, EcsError},
    view::{ContainerDefinitionView, LogLine, LogTail, TaskDefinitionView, short},
};
use crate::aws::Failure;

/// Lines that may be asked for at once.
const MOST_LINES: u16 = 200;

impl Ecs {
    /// The last log lines of a task's containers, or of one of them. Containers that have not
    /// written yet are left out.
    pub async fn task_logs(
        &self,
        cluster: &str,
        task: &str,
        container: Option<&str>,
        lines: u16,
    ) -> Result<Vec<LogTail>, EcsError> {
        let missing = || EcsError::NoTask { task: task.to_owned(), cluster: cluster.to_owned() };
        let tasks = self.describe_tasks(cluster, vec![task.to_owned()]).await?;
        let found = tasks.first().ok_or_else(missing)?;
        let definition = found.task_definition_arn().ok_or_else(missing)?;
        let mut definition = self.task_definition_view(definition).await?;
        if let Some(container) = container {
            let all = definition.containers.iter().map(|known| known.name.clone()).collect();
            definition.containers.retain(|known| known.name == container);
            if definition.containers.is_empty() {
                return Err(EcsError::NoContainer { container: container.to_owned(), all });
            }
        }
        let id = short(found.task_arn().unwrap_or(task)).to_owned();
        let mut tails = Vec::new();
        let streams = streams(&definition, &id);
        if streams.is_empty() {
            return Err(EcsError::NoLogs { task: id });
        }
        for tail in join_all(streams.into_iter().map(|stream| self.tail(stream, lines))).await {
            match tail {
                Ok(tail) => tails.push(tail),
                Err(failure) if failure.code() == Some("ResourceNotFoundException") => {}
                Err(failure) => return Err(EcsError::Aws(failure)),
            }
        }
        Ok(tails)
    }

    /// The last lines of one stream.
    pub(super) async fn tail(&self, stream: Stream, lines: u16) -> Result<LogTail, Failure> {
        let answer = self
            .logs
            .get_log_events()
            .log_group_name(&stream.group)
            .log_stream_name(&stream.name)
            .start_from_head(false)
            .limit(i32::from(lines.clamp(1, MOST_LINES)))
            .send()
            .await
            .map_err(|error| Failure::new("logs:GetLogEvents", &error))?;
        let lines = answer
            .events()
            .iter()
            .map(|event| LogLine {
                at: event.timestamp().and_then(millis),
                message: event.message().unwrap_or_default().trim_end().to_owned(),
            })
            .collect();
        Ok(LogTail {
            task: stream.task,
            container: stream.container,
            group: stream.group,
            stream: stream.name,
            lines,
        })
    }
}

fn millis(at: i64) -> Option<String> {
    use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
    DateTime::from_millis(at).fmt(DateTimeFormat::DateTime).ok()
}

/// Where one container of one task writes.
pub(super) struct Stream {
    task: String,
    container: String,
    group: String,
    name: String,
}

/// The streams of a task: `prefix/container/task` (Amazon ECS Developer Guide, "awslogs-stream-prefix").
pub(super) fn streams(definition: &TaskDefinitionView, task: &str) -> Vec<Stream> {
    let stream = |container: &ContainerDefinitionView| {
        let prefix = container.log_stream_prefix.as_deref()?;
        Some(Stream {
            task: task.to_owned(),
            container: container.name.clone(),
            group: container.log_group.clone()?,
            name: format!("{prefix}/{}/{task}", container.name),
        })
    };
    definition.containers.iter().filter_map(stream).collect()
}
