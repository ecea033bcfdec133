//! What a task needs before its containers start, and cannot get: secrets, roles, registry
//! credentials, log groups, file systems (`ResourceInitializationError`).

use super::{Evidence, Facts, Finding, Kind, Severity, distinct, says, stops};

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let stops: Vec<_> = stops(facts)
        .filter(|stop| {
            says(stop.text, &["resourceinitializationerror", "unable to assume the role"])
                // An image that cannot be pulled has its own finding.
                && !says(stop.text, &["cannotpull"])
        })
        .collect();
    // Said of either, and so of neither.
    let text = &stops.first()?.text.replace("secrets or registry auth", "");
    let definition = facts.definition.as_ref();
    let role = definition.and_then(|definition| definition.execution_role.as_deref());
    let role = role.unwrap_or("(none is set)");
    let (title, explanation, mut next_steps) = cause(text, role);
    if let Some(definition) = definition {
        let secrets: Vec<&str> = definition
            .containers
            .iter()
            .flat_map(|container| container.secrets.iter().map(String::as_str))
            .collect();
        if says(text, &["secret", "ssm", "parameter"]) && !secrets.is_empty() {
            next_steps.push(format!(
                "Compare with what {} asks for: {}.",
                definition.task_definition,
                secrets.join(", ")
            ));
        }
    }
    let evidence: Vec<Evidence> = stops.iter().map(super::Stop::evidence).collect();
    Some(Finding {
        kind: Kind::ResourceInitialization,
        severity: Severity::Critical,
        title,
        explanation,
        evidence: distinct(evidence),
        next_steps,
    })
}

/// A title, an explanation, and next steps.
type Cause = (String, String, Vec<String>);

fn cause(text: &str, role: &str) -> Cause {
    const DENIED: [&str; 3] = ["accessdenied", "not authorized", "access denied"];
    const MISSING: [&str; 5] =
        ["resourcenotfound", "can't find", "not found", "does not exist", "invalidparameters"];
    const UNREACHABLE: [&str; 7] =
        ["timeout", "timed out", "i/o", "dial tcp", "connection issue", "deadline", "no such host"];
    let what = if says(text, &["secret", "ssm", "parameter"]) {
        "its secrets"
    } else if says(text, &["registry", "ecr"]) {
        "the image registry's credentials"
    } else {
        "a resource that it needs"
    };
    if says(text, &["assume the role"]) {
        cannot_assume(role)
    } else if says(text, &["log group", "logger", "log stream"]) {
        log_group(role)
    } else if says(text, &DENIED) {
        denied(text, what, role)
    } else if says(text, &MISSING) {
        missing(what)
    } else if says(text, &UNREACHABLE) {
        unreachable(what)
    } else {
        (
            "The task cannot be set up".into(),
            "ECS could not prepare what the task needs, so no container was started.".into(),
            vec![
                "The message says which resource: check that it exists and that the execution \
                 role may use it."
                    .into(),
            ],
        )
    }
}

fn cannot_assume(role: &str) -> Cause {
    (
        "ECS cannot assume the task's role".into(),
        "ECS could not take on a role of the task definition, so no container was started.".into(),
        vec![
            "Check that the role exists and that its trust policy names ecs-tasks.amazonaws.com."
                .into(),
            format!("The execution role is {role}."),
        ],
    )
}

fn log_group(role: &str) -> Cause {
    (
        "The task's log group cannot be used".into(),
        "The log driver could not be set up, so no container was started.".into(),
        vec![
            "Create the log group, or set awslogs-create-group and allow logs:CreateLogGroup."
                .into(),
            format!("The execution role {role} needs logs:CreateLogStream and logs:PutLogEvents."),
        ],
    )
}

fn denied(text: &str, what: &str, role: &str) -> Cause {
    const PERMISSIONS: [(&[&str], &str); 4] = [
        (&["secretsmanager", "secrets manager"], "secretsmanager:GetSecretValue"),
        (&["ssm", "parameter"], "ssm:GetParameters"),
        (&["kms"], "kms:Decrypt"),
        (&["registry", "ecr:", "/ecr"], "ecr:GetAuthorizationToken"),
    ];
    let permission = PERMISSIONS.iter().find(|(words, _)| says(text, words));
    let permission = permission.map_or("what the message names", |(_, permission)| permission);
    (
        format!("The task may not read {what}"),
        format!(
            "Before it starts the containers, ECS reads {what} with the execution role {role}, and \
             AWS denied that. No container was started."
        ),
        vec![
            format!("Allow {permission} on the named resource in the policy of {role}."),
            "If it is encrypted with a key of your own, kms:Decrypt on that key is needed too."
                .into(),
            "Then force a new deployment of the service.".into(),
        ],
    )
}

fn missing(what: &str) -> Cause {
    (
        format!("The task refers to {what}, and AWS does not find it"),
        format!("ECS looked for {what} as the task definition names it, and found nothing."),
        vec![
            "Check the ARN or name in the task definition: region, account, spelling, and the JSON \
             key or version at its end."
                .into(),
            "Register a corrected revision and update the service.".into(),
        ],
    )
}

fn unreachable(what: &str) -> Cause {
    (
        format!("The task's network does not reach {what}"),
        format!(
            "ECS could not connect to the AWS service that holds {what} from the task's subnets. \
             No container was started."
        ),
        vec![
            "The subnets need a way out: a NAT gateway, a public IP in a public subnet, or VPC \
             endpoints for Secrets Manager, SSM, ECR and CloudWatch Logs."
                .into(),
            "The security groups must allow HTTPS out, and those of VPC endpoints HTTPS in.".into(),
        ],
    )
}
