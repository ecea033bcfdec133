//! What the facts say is wrong. Each kind of failure has a file of its own.

mod capacity;
mod exits;
mod health;
mod images;
mod memory;
mod ports;
mod resources;
mod rollout;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    facts::Facts,
    view::{LogTail, TaskView},
};

/// Pieces of evidence that are shown for a finding.
const EVIDENCE: usize = 6;

/// Kinds of findings. Where several apply, the first in this order is the cause of the others:
/// a task that cannot read its secrets also fails its health check and its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Secrets, roles, registries or log groups that the task cannot use before it starts.
    ResourceInitialization,
    /// The image cannot be pulled.
    ImagePull,
    /// The container needs more memory than it has.
    OutOfMemory,
    /// The load balancer and the container do not meet at one port.
    PortOrTargetGroup,
    /// The container exits.
    ContainerExit,
    /// The container runs and does not pass its health check.
    HealthCheck,
    /// There is no room for the task.
    NoCapacity,
    /// ECS gave the deployment up.
    CircuitBreaker,
    /// Tasks were stopped, or none is wanted.
    NotRunning,
    /// A deployment is under way.
    InProgress,
    /// All is well.
    Healthy,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The service does not do its work.
    Critical,
    /// It did not, or may not soon.
    Warning,
    /// Good to know.
    Info,
}

/// One thing that the facts say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// In a few words.
    pub title: String,
    /// In a few sentences.
    pub explanation: String,
    /// Word for word, but for secrets.
    pub evidence: Vec<Evidence>,
    /// What to do or look at next.
    pub next_steps: Vec<String>,
}

/// Where something stands, and what.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Evidence {
    /// Where.
    pub source: String,
    /// What.
    pub text: String,
}

/// All findings, the likeliest cause first.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let rules = [
        resources::find,
        images::find,
        memory::find,
        ports::find,
        exits::find,
        health::find,
        capacity::find,
        rollout::circuit_breaker,
        rollout::not_running,
        rollout::in_progress,
    ];
    let mut findings: Vec<Finding> = rules.iter().filter_map(|rule| rule(facts)).collect();
    if serves(facts) {
        // What failed before the service came up is history.
        for finding in &mut findings {
            finding.severity = finding.severity.max(Severity::Warning);
        }
        findings.push(rollout::healthy(facts));
    }
    findings.sort_by_key(|finding| (finding.severity, finding.kind));
    findings
}

/// Whether the service has all the tasks that it should have, and its last deployment is through.
pub(super) fn serves(facts: &Facts) -> bool {
    let service = &facts.service;
    let rollout = service.deployments.first().and_then(|primary| primary.rollout.as_deref());
    service.status == "ACTIVE"
        && service.desired > 0
        && service.running >= service.desired
        && !matches!(rollout, Some("FAILED" | "IN_PROGRESS"))
        && facts.running.iter().all(|task| task.health.as_deref() != Some("UNHEALTHY"))
}

/// Why a task or one of its containers stopped.
struct Stop<'a> {
    task: &'a TaskView,
    container: Option<&'a str>,
    text: &'a str,
}

impl Stop<'_> {
    fn evidence(&self) -> Evidence {
        let task = &self.task.task;
        let source = match self.container {
            Some(container) => format!("stopped task {task}, container {container}"),
            None => format!("stopped task {task}"),
        };
        Evidence { source, text: self.text.to_owned() }
    }
}

/// The reasons that stopped tasks and their containers give.
fn stops(facts: &Facts) -> impl Iterator<Item = Stop<'_>> {
    facts.stopped.iter().flat_map(|task| {
        let own = task.stopped_reason.as_deref().map(|text| Stop { task, container: None, text });
        let containers = task.containers.iter().filter_map(move |container| {
            let text = container.reason.as_deref()?;
            Some(Stop { task, container: Some(&container.name), text })
        });
        own.into_iter().chain(containers)
    })
}

/// Evidence of events whose message passes.
fn events(facts: &Facts, passes: impl Fn(&str) -> bool) -> Vec<Evidence> {
    let mut seen = BTreeMap::new();
    let passing = facts.service.events.iter().filter(|event| passes(&event.message));
    for event in passing {
        seen.entry(event.message.as_str()).or_insert(event);
    }
    let mut events: Vec<_> = seen.into_values().collect();
    events.sort_by(|a, b| b.at.cmp(&a.at));
    events
        .into_iter()
        .map(|event| Evidence {
            source: format!("service event at {}", event.at),
            text: event.message.clone(),
        })
        .collect()
}

/// The same said by several tasks is shown once.
fn distinct(mut evidence: Vec<Evidence>) -> Vec<Evidence> {
    let mut seen = Vec::<String>::new();
    evidence.retain(|piece| {
        let new = !seen.contains(&piece.text);
        if new {
            seen.push(piece.text.clone());
        }
        new
    });
    evidence.truncate(EVIDENCE);
    evidence
}

/// The log lines that tell most: those that speak of errors, else the last ones.
fn telling_lines(logs: &[LogTail], task: Option<&str>) -> Vec<Evidence> {
    const WORDS: [&str; 16] = [
        "error",
        "fatal",
        "panic",
        "exception",
        "traceback",
        "denied",
        "refused",
        "failed",
        "failure",
        "cannot",
        "could not",
        "unable",
        "not found",
        "no such",
        "timed out",
        "killed",
    ];
    let lines = logs
        .iter()
        .filter(|tail| task.is_none_or(|task| tail.task == task))
        .flat_map(|tail| tail.lines.iter().map(move |line| (tail, line)));
    let evidence = |(tail, line): (&LogTail, &super::view::LogLine)| Evidence {
        source: format!("log of container {}, task {}", tail.container, tail.task),
        text: line.message.clone(),
    };
    let told: Vec<Evidence> = lines
        .clone()
        .filter(|(_, line)| {
            let line = line.message.to_lowercase();
            WORDS.iter().any(|word| line.contains(word))
        })
        .map(evidence)
        .collect();
    let mut told = if told.is_empty() { lines.map(evidence).collect() } else { told };
    // The last ones are nearest to the end.
    let excess = told.len().saturating_sub(EVIDENCE);
    told.drain(..excess);
    told
}

/// Whether any of the words stands in the text, whatever their case.
fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}
