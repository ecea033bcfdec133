//! Load balancers and containers that do not meet at one port.

use super::{Evidence, Facts, Finding, Kind, Severity, distinct, events, says};
use crate::ecs::view::{LoadBalancerView, TaskDefinitionView};

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let mut evidence: Vec<Evidence> = facts
        .definition
        .iter()
        .flat_map(|definition| {
            facts
                .service
                .load_balancers
                .iter()
                .filter_map(|balancer| mismatch(definition, balancer))
        })
        .collect();
    evidence.extend(events(facts, |message| {
        says(
            message,
            &[
                "failed to register targets",
                "does not have an associated load balancer",
                "target group does not exist",
                "target groups do not exist",
                "targetgroupnotfound",
                "did not have a container port",
                "unable to register",
            ],
        )
    }));
    if evidence.is_empty() {
        return None;
    }
    Some(Finding {
        kind: Kind::PortOrTargetGroup,
        severity: Severity::Critical,
        title: "The load balancer and the container do not meet".into(),
        explanation: "The service registers a container and port with its target group that the \
                      task definition does not have, or the target group cannot be used, so no \
                      traffic reaches the tasks."
            .into(),
        evidence: distinct(evidence),
        next_steps: vec![
            "Let containerName and containerPort of the service name a container and a \
             containerPort of the task definition; which port the program listens on, its log \
             lines or its configuration tell."
                .into(),
            "Check that the target group exists, is attached to a listener, and has the target \
             type of the network mode (`ip` for awsvpc)."
                .into(),
        ],
    })
}

fn mismatch(definition: &TaskDefinitionView, balancer: &LoadBalancerView) -> Option<Evidence> {
    let port = balancer.port?;
    let name = &definition.task_definition;
    let text = match definition.containers.iter().find(|known| known.name == balancer.container) {
        None => format!("{name} has no container `{}`", balancer.container),
        Some(container) if container.ports.contains(&port) => return None,
        Some(container) if container.ports.is_empty() => {
            format!("container {} of {name} has no port mapping", container.name)
        }
        Some(container) => {
            let ports: Vec<String> = container.ports.iter().map(ToString::to_string).collect();
            format!("container {} of {name} has port {}", container.name, ports.join(", "))
        }
    };
    let group = balancer.target_group.as_deref().unwrap_or("the load balancer");
    Some(Evidence {
        source: "service and task definition".into(),
        text: format!("{group} is to reach {}:{port}, but {text}", balancer.container),
    })
}
