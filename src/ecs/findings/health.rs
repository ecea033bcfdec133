//! Containers that run and do not pass their health checks.

use super::{
    Evidence, Facts, Finding, Kind, Severity, Stop, distinct, events, says, stops, telling_lines,
};

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let stops: Vec<Stop<'_>> = stops(facts)
        .filter(|stop| {
            says(stop.text, &["failed container health checks", "failed elb health checks"])
        })
        .collect();
    let mut evidence: Vec<Evidence> = stops.iter().map(Stop::evidence).collect();
    evidence.extend(events(facts, |message| {
        says(
            message,
            &["is unhealthy in", "failed container health checks", "health checks failed"],
        )
    }));
    for task in &facts.running {
        if task.health.as_deref() == Some("UNHEALTHY") {
            evidence.push(Evidence {
                source: format!("running task {}", task.task),
                text: "health status UNHEALTHY".into(),
            });
        }
    }
    if evidence.is_empty() {
        return None;
    }
    let of_balancer = evidence
        .iter()
        .any(|piece| says(&piece.text, &["elb health checks", "target-group", "target group"]));
    let (title, explanation, next_steps) =
        if of_balancer { of_target_group(facts, &evidence) } else { of_container(facts) };
    let mut evidence = distinct(evidence);
    let task = stops.first().map(|stop| stop.task.task.as_str());
    evidence.extend(telling_lines(&facts.logs, task));
    Some(Finding {
        kind: Kind::HealthCheck,
        severity: Severity::Critical,
        title,
        explanation,
        evidence,
        next_steps,
    })
}

fn of_target_group(facts: &Facts, evidence: &[Evidence]) -> (String, String, Vec<String>) {
    let ports: Vec<String> = facts
        .service
        .load_balancers
        .iter()
        .map(|balancer| {
            let port = balancer.port.map_or_else(String::new, |port| format!(":{port}"));
            format!("{}{port}", balancer.container)
        })
        .collect();
    let code = evidence.iter().find_map(|piece| response_code(&piece.text));
    let timed_out = evidence.iter().any(|piece| says(&piece.text, &["timed out", "timeout"]));
    let next_step = match code {
        Some(code) => format!(
            "The program answers the health check with {code}: check the path of the target \
             group's health check against what the program serves, and the codes that count as \
             healthy (matcher)."
        ),
        None if timed_out => String::from(
            "Nothing answers in time: the security group of the tasks must let the load balancer \
             in on that port, and the program must listen on it on all addresses (0.0.0.0).",
        ),
        None => String::from(
            "Check protocol, path and port of the target group's health check against what the \
             program serves.",
        ),
    };
    (
        "The load balancer finds the tasks unhealthy".into(),
        format!(
            "The containers run, and the target group's health check of {} fails, so ECS replaces \
             them again and again.",
            ports.join(", ")
        ),
        vec![
            next_step,
            "If the program needs long to start, raise healthCheckGracePeriodSeconds of the \
             service."
                .into(),
        ],
    )
}

fn of_container(facts: &Facts) -> (String, String, Vec<String>) {
    let checks: Vec<String> = facts
        .definition
        .iter()
        .flat_map(|definition| &definition.containers)
        .filter_map(|container| {
            let check = container.health_check.as_deref()?;
            Some(format!("{}: `{check}`", container.name))
        })
        .collect();
    (
        "The container's own health check fails".into(),
        format!(
            "The containers run, and the health check of the task definition fails ({}), so ECS \
             replaces them again and again.",
            checks.join("; ")
        ),
        vec![
            "Run the check by hand in the image: the tool that it calls (curl, wget) must be in \
             the image, and the port and path must be what the program serves."
                .into(),
            "If the program needs long to start, raise startPeriod of the health check.".into(),
        ],
    )
}

/// The HTTP status in `Health checks failed with these codes: [404]`.
fn response_code(text: &str) -> Option<&str> {
    let codes = text.split_once("codes: [")?.1;
    codes.split_once(']').map(|(codes, _)| codes)
}
