//! Containers that were killed for want of memory.

use super::{Evidence, Facts, Finding, Kind, Severity, Stop, distinct, says, stops};

/// 128 + SIGKILL: what a container exits with that the kernel killed.
const KILLED: i32 = 137;

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let told: Vec<Stop<'_>> = stops(facts)
        .filter(|stop| says(stop.text, &["outofmemory", "out of memory", "oomkilled"]))
        .collect();
    let mut evidence: Vec<Evidence> = told.iter().map(Stop::evidence).collect();
    let sure = !told.is_empty();
    let mut containers: Vec<String> =
        told.iter().filter_map(|stop| stop.container).map(str::to_owned).collect();
    for task in super::exits::self_stopped(facts) {
        for container in task.containers.iter().filter(|c| c.exit_code == Some(KILLED)) {
            evidence.push(Evidence {
                source: format!("stopped task {}, container {}", task.task, container.name),
                text: format!("exit code {KILLED} (killed)"),
            });
            containers.push(container.name.clone());
        }
    }
    if evidence.is_empty() {
        return None;
    }
    containers.sort();
    containers.dedup();
    let limits: Vec<String> = facts
        .definition
        .iter()
        .flat_map(|definition| {
            let task = definition.memory.as_deref().unwrap_or("no");
            definition
                .containers
                .iter()
                .filter(|container| containers.contains(&container.name) || containers.is_empty())
                .map(move |container| match container.memory {
                    Some(limit) => format!("{}: {limit} MiB of the task's {task}", container.name),
                    None => format!("{}: the task's {task} MiB", container.name),
                })
        })
        .collect();
    Some(Finding {
        kind: Kind::OutOfMemory,
        severity: Severity::Critical,
        title: if sure {
            "A container ran out of memory".into()
        } else {
            "A container was killed, probably for want of memory".into()
        },
        explanation: format!(
            "The kernel kills a container that goes over its memory limit. Limits: {}.",
            limits.join("; ")
        ),
        evidence: distinct(evidence),
        next_steps: vec![
            "Look at MemoryUtilization of the service in CloudWatch: a steady climb is a leak, a \
             jump at the start a limit that is too low."
                .into(),
            "Raise the memory of the task and of the container in a new revision, or lower what \
             the program takes (heap size, workers)."
                .into(),
        ],
    })
}
