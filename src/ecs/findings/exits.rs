//! Containers that exit by themselves.

use super::{Evidence, Facts, Finding, Kind, Severity, distinct, says, telling_lines};
use crate::ecs::view::TaskView;

/// Tasks that stopped because a container exited, not because somebody stopped them.
pub(super) fn self_stopped(facts: &Facts) -> impl Iterator<Item = &TaskView> {
    facts.stopped.iter().filter(|task| {
        let reason = task.stopped_reason.as_deref().unwrap_or_default();
        task.stop_code.as_deref() == Some("EssentialContainerExited")
            || says(reason, &["essential container in task exited", "essential container exited"])
    })
}

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let mut codes = Vec::new();
    let mut evidence = Vec::new();
    let mut first = None;
    for task in self_stopped(facts) {
        for container in &task.containers {
            // Memory has its own finding; the others of the task are stopped along with it.
            let Some(code) = container.exit_code.filter(|code| !matches!(code, 137 | 143)) else {
                continue;
            };
            if !is_essential(facts, &container.name) {
                continue;
            }
            first.get_or_insert((container.name.clone(), code, task.task.clone()));
            if !codes.contains(&code) {
                codes.push(code);
            }
            let reason = container.reason.as_deref().map(|reason| format!(": {reason}"));
            evidence.push(Evidence {
                source: format!("stopped task {}, container {}", task.task, container.name),
                text: format!("exit code {code}{}", reason.unwrap_or_default()),
            });
        }
    }
    let (container, code, task) = first?;
    let lines = telling_lines(&facts.logs, Some(&task));
    let (meaning, next_step) = meaning(code, &lines);
    let mut next_steps = vec![next_step.to_owned()];
    if lines.is_empty() {
        next_steps.push(format!(
            "Container {container} has no log lines that could be read: check its \
             logConfiguration, or run the image by hand."
        ));
    }
    let mut evidence = distinct(evidence);
    evidence.extend(lines);
    Some(Finding {
        kind: Kind::ContainerExit,
        severity: Severity::Critical,
        title: format!("Container {container} exits with code {code}"),
        explanation: format!(
            "ECS starts the task, and its essential container {container} ends by itself \
             ({meaning}). Its last log lines tell why, as far as the program says so."
        ),
        evidence,
        next_steps,
    })
}

fn is_essential(facts: &Facts, container: &str) -> bool {
    let definition = facts.definition.as_ref();
    definition
        .and_then(|definition| definition.containers.iter().find(|known| known.name == container))
        .is_none_or(|known| known.essential)
}

fn meaning(code: i32, lines: &[Evidence]) -> (&'static str, &'static str) {
    if lines.iter().any(|line| says(&line.text, &["exec format error"])) {
        return (
            "the program was built for another processor",
            "Build the image for the task's runtimePlatform (linux/amd64 or linux/arm64).",
        );
    }
    match code {
        0 => (
            "successfully, which a service must not do",
            "A service's container must keep running: check that its command starts a server in \
             the foreground, and does not finish or go into the background.",
        ),
        126 => (
            "its command cannot be executed",
            "Check the file mode of the entry point and its interpreter line.",
        ),
        127 => (
            "its command was not found",
            "Check entryPoint and command of the task definition against what the image holds.",
        ),
        134 => ("aborted by itself", "Look for a failed assertion in the log lines."),
        139 => (
            "a segmentation fault",
            "Look for a native library that does not fit the image or the processor.",
        ),
        _ => (
            "an error of the program",
            "Read the log lines above from the last one upwards; ecs_task_logs shows more of them. \
             Check the configuration that the program reads at its start: environment variables, \
             secrets, hosts that it connects to.",
        ),
    }
}
