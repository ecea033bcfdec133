//! Where the service and its deployments stand.

use super::{Evidence, Facts, Finding, Kind, Severity, distinct, events, says, stops};

pub(super) fn circuit_breaker(facts: &Facts) -> Option<Finding> {
    let mut evidence = Vec::new();
    for deployment in &facts.service.deployments {
        if deployment.rollout.as_deref() == Some("FAILED") {
            evidence.push(Evidence {
                source: format!("deployment of {}", deployment.task_definition),
                text: deployment.rollout_reason.clone().unwrap_or_else(|| "FAILED".into()),
            });
        }
    }
    evidence.extend(events(facts, |message| {
        says(
            message,
            &["deployment failed", "circuit breaker", "rolling back to deployment", "rolled back"],
        )
    }));
    if evidence.is_empty() {
        return None;
    }
    let rolled_back =
        evidence.iter().any(|piece| says(&piece.text, &["rolling back", "rolled back"]));
    Some(Finding {
        kind: Kind::CircuitBreaker,
        severity: Severity::Critical,
        title: "ECS gave the deployment up".into(),
        explanation: format!(
            "Too many tasks of the deployment failed, and the deployment circuit breaker stopped \
             it{}. That is a consequence: the cause is why the tasks failed.",
            if rolled_back {
                "; the service went back to the last revision that worked"
            } else {
                ""
            }
        ),
        evidence: distinct(evidence),
        next_steps: vec![
            "Find out why the tasks of the failed deployment stopped: the other findings, or \
             ecs_describe_tasks with `stopped`. ECS forgets stopped tasks after about an hour."
                .into(),
        ],
    })
}

pub(super) fn not_running(facts: &Facts) -> Option<Finding> {
    let service = &facts.service;
    let (title, explanation, severity, next_step) = if service.status != "ACTIVE" {
        (
            format!("The service is {}", service.status),
            "A service that is not ACTIVE was deleted; it starts no tasks.".to_owned(),
            Severity::Critical,
            "Create it anew if it is still wanted.",
        )
    } else if service.desired == 0 {
        (
            "No task is wanted".to_owned(),
            "The desired count is 0, so ECS runs no task. Someone, or auto scaling, set it to \
             that."
                .to_owned(),
            Severity::Critical,
            "Set the desired count, or look at the scaling policies and scheduled actions.",
        )
    } else if service.running < service.desired {
        (
            format!("{} of {} tasks run", service.running, service.desired),
            "Tasks are missing. The other findings say why, as far as it can be told.".to_owned(),
            Severity::Warning,
            "Look at ecs_describe_tasks with `stopped`, and ecs_task_logs of those tasks.",
        )
    } else {
        return None;
    };
    let by_hand = stops(facts)
        .filter(|stop| stop.task.stop_code.as_deref() == Some("UserInitiated"))
        .filter(|stop| !says(stop.text, &["error", "scaling activity"]))
        .map(|stop| stop.evidence());
    Some(Finding {
        kind: Kind::NotRunning,
        severity,
        title,
        explanation,
        evidence: distinct(by_hand.collect()),
        next_steps: vec![next_step.into()],
    })
}

pub(super) fn in_progress(facts: &Facts) -> Option<Finding> {
    let primary = facts.service.deployments.first()?;
    if primary.rollout.as_deref() != Some("IN_PROGRESS") {
        return None;
    }
    Some(Finding {
        kind: Kind::InProgress,
        severity: Severity::Info,
        title: "A deployment is under way".into(),
        explanation: format!(
            "{} of {} tasks of {} run so far; {} failed to start.",
            primary.running, primary.desired, primary.task_definition, primary.failed_tasks
        ),
        evidence: primary
            .rollout_reason
            .iter()
            .map(|reason| Evidence { source: "primary deployment".into(), text: reason.clone() })
            .collect(),
        next_steps: vec!["Ask again in a minute or two.".into()],
    })
}

pub(super) fn healthy(facts: &Facts) -> Finding {
    let service = &facts.service;
    Finding {
        kind: Kind::Healthy,
        severity: Severity::Info,
        title: "The service is healthy".into(),
        explanation: format!(
            "All {} tasks that should run do, and the last deployment is through.",
            service.desired
        ),
        evidence: events(facts, |message| says(message, &["steady state"]))
            .into_iter()
            .take(1)
            .collect(),
        next_steps: vec![
            "If users still see errors, look behind ECS: the load balancer's metrics, what the \
             service depends on, and its log lines (ecs_task_logs)."
                .into(),
        ],
    }
}
