//! Why a service fails, in one answer.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    facts::{Facts, gather},
    findings::{Finding, Kind, Severity, find, serves},
    read::{Ecs, EcsError},
    view::LogTail,
};

/// What is wrong with a service, why, and what to do.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The cluster.
    pub cluster: String,
    /// The service.
    pub service: String,
    /// Whether it does its work.
    pub healthy: bool,
    /// One sentence.
    pub summary: String,
    /// The likeliest cause; none where all is well or the facts do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<RootCause>,
    /// How many tasks run and should.
    pub tasks: TaskCount,
    /// What was found, the likeliest cause first.
    pub findings: Vec<Finding>,
    /// The last log lines that were read.
    pub logs: Vec<LogTail>,
    /// What could not be read, and why.
    pub gaps: Vec<String>,
}

/// The likeliest cause.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RootCause {
    /// What kind of failure.
    pub kind: Kind,
    /// In a few words.
    pub title: String,
    /// In a few sentences.
    pub explanation: String,
}

/// How many tasks run and should.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskCount {
    /// Should run.
    pub desired: i32,
    /// Run.
    pub running: i32,
    /// Are starting.
    pub pending: i32,
    /// Stopped lately, as far as ECS remembers.
    pub stopped: usize,
}

/// Looks at everything that tells why a service fails: service, deployments, events, running and
/// stopped tasks, task definition and last log lines.
pub async fn diagnose(ecs: &Ecs, cluster: &str, service: &str) -> Result<Diagnosis, EcsError> {
    Box::pin(gather(ecs, cluster, service)).await.map(conclude)
}

fn conclude(mut facts: Facts) -> Diagnosis {
    let findings = find(&facts);
    let healthy = serves(&facts);
    let cause = findings.iter().find(|finding| finding.severity == Severity::Critical);
    let root_cause = cause.map(|finding| RootCause {
        kind: finding.kind,
        title: finding.title.clone(),
        explanation: finding.explanation.clone(),
    });
    let service = &facts.service;
    let name = &service.service;
    let summary = match (&root_cause, healthy) {
        (_, true) => {
            format!(
                "Service {name} is healthy: {} of {} tasks run.",
                service.running, service.desired
            )
        }
        (Some(cause), false) => format!(
            "Service {name} fails: {} of {} tasks run. {}.",
            service.running, service.desired, cause.title
        ),
        (None, false) => format!(
            "Service {name}: {} of {} tasks run, and what AWS tells does not say why.",
            service.running, service.desired
        ),
    };
    if facts.stopped.is_empty() && !healthy && service.desired > 0 {
        facts.gaps.push(
            "there are no stopped tasks to look at; ECS forgets them after about an hour".into(),
        );
    }
    Diagnosis {
        cluster: facts.cluster,
        service: facts.service.service,
        healthy,
        summary,
        root_cause,
        tasks: TaskCount {
            desired: facts.service.desired,
            running: facts.service.running,
            pending: facts.service.pending,
            stopped: facts.stopped.len(),
        },
        findings,
        logs: facts.logs,
        gaps: facts.gaps,
    }
}
