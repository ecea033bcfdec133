//! Tasks for which there is no room.

use super::{Evidence, Facts, Finding, Kind, Severity, Stop, distinct, events, says, stops};

const WORDS: [&str; 14] = [
    "unable to place a task",
    "capacity is unavailable",
    "no container instance",
    "no container instances were found",
    "insufficient memory available",
    "insufficient cpu units available",
    "resource:cpu",
    "resource:memory",
    "resource:ports",
    "resource:eni",
    "resource:gpu",
    "reached the limit on the number of vcpus",
    "spotinterruption",
    "host ec2 (instance",
];

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let mut evidence: Vec<Evidence> = events(facts, |message| says(message, &WORDS));
    let stops: Vec<Stop<'_>> = stops(facts)
        .filter(|stop| {
            let code = stop.task.stop_code.as_deref().unwrap_or_default();
            says(stop.text, &WORDS) || matches!(code, "SpotInterruption" | "TerminationNotice")
        })
        .collect();
    evidence.extend(stops.iter().map(Stop::evidence));
    let text = evidence.iter().map(|piece| piece.text.as_str()).collect::<Vec<_>>().join("\n");
    if text.is_empty() {
        return None;
    }
    let (title, next_step) = cause(&text, facts);
    let interrupted = events(facts, |message| says(message, &WORDS)).is_empty();
    Some(Finding {
        kind: Kind::NoCapacity,
        severity: if interrupted { Severity::Warning } else { Severity::Critical },
        title: title.into(),
        explanation: format!(
            "ECS wants {} tasks and {} run; there is no room for the others where the service may \
             run.",
            facts.service.desired, facts.service.running
        ),
        evidence: distinct(evidence),
        next_steps: vec![next_step.into()],
    })
}

fn cause(text: &str, facts: &Facts) -> (&'static str, &'static str) {
    if says(text, &["limit on the number of vcpus"]) {
        return (
            "The account's Fargate limit is reached",
            "Ask for a higher quota of Fargate vCPUs (Service Quotas), or run fewer or smaller \
             tasks.",
        );
    }
    if says(text, &["capacity is unavailable"]) {
        return (
            "Fargate has no capacity there at the moment",
            "Allow more Availability Zones (subnets in other zones), or wait; with Fargate Spot, \
             add FARGATE as a second capacity provider.",
        );
    }
    if says(text, &["no container instances were found"]) {
        return (
            "The cluster has no container instances",
            "Check the Auto Scaling group: its desired count, and whether its instances run the \
             ECS agent and joined this cluster.",
        );
    }
    if says(text, &["insufficient memory", "resource:memory"]) {
        return (
            "No container instance has enough memory left",
            "Add or enlarge container instances, or lower the task's memory; a capacity provider \
             with managed scaling does the first by itself.",
        );
    }
    if says(text, &["insufficient cpu", "resource:cpu"]) {
        return (
            "No container instance has enough CPU left",
            "Add or enlarge container instances, or lower the task's CPU; a capacity provider with \
             managed scaling does the first by itself.",
        );
    }
    if says(text, &["port", "resource:ports"])
        && facts.service.launch_type.as_deref() == Some("EC2")
    {
        return (
            "The host port is taken on every container instance",
            "Use dynamic host ports (hostPort 0) or awsvpc networking, or add instances.",
        );
    }
    if says(text, &["spotinterruption", "spot", "host ec2"]) {
        return (
            "Instances were taken away",
            "Spread over more instance types and zones, or keep a base of on-demand capacity.",
        );
    }
    (
        "There is no room for the tasks",
        "Compare the task's CPU, memory, ports and placement constraints with what the cluster has \
         (`ecs describe-container-instances`).",
    )
}
