//! Images that cannot be pulled.

use super::{Evidence, Facts, Finding, Kind, Severity, Stop, distinct, says, stops};

pub(super) fn find(facts: &Facts) -> Option<Finding> {
    let stops: Vec<Stop<'_>> = stops(facts)
        .filter(|stop| {
            says(stop.text, &["cannotpull", "pull image manifest", "image manifest does not"])
        })
        .collect();
    let text = stops.first()?.text;
    let images: Vec<&str> = facts
        .definition
        .iter()
        .flat_map(|definition| &definition.containers)
        .filter_map(|container| container.image.as_deref())
        .collect();
    let (why, next_step) = cause(text);
    let evidence: Vec<Evidence> = stops.iter().map(Stop::evidence).collect();
    Some(Finding {
        kind: Kind::ImagePull,
        severity: Severity::Critical,
        title: format!("The image cannot be pulled: {why}"),
        explanation: format!(
            "ECS could not pull an image of the task ({}), so the task never started.",
            images.join(", ")
        ),
        evidence: distinct(evidence),
        next_steps: vec![
            next_step.to_owned(),
            "Then update the service; running tasks are not affected.".to_owned(),
        ],
    })
}

fn cause(text: &str) -> (&'static str, &'static str) {
    if says(text, &["toomanyrequests", "rate limit", "pull rate"]) {
        return (
            "the registry limits pulls",
            "Log in to the registry (repositoryCredentials), or keep the image in ECR, for \
             instance through a pull-through cache.",
        );
    }
    if says(text, &["descriptor matching platform", "no matching manifest", "platform"]) {
        return (
            "it was not built for this processor",
            "Build the image for the task's runtimePlatform (linux/amd64 or linux/arm64), or \
             change that to what the image has.",
        );
    }
    if says(text, &["not found", "manifest unknown", "does not exist", "no such image"]) {
        return (
            "there is no such image or tag",
            "Check repository, tag and digest in the task definition against the registry \
             (`ecr describe-images`); a lifecycle rule may have removed the tag.",
        );
    }
    if says(text, &["no space left"]) {
        return (
            "the disk is full",
            "Give the task more ephemeral storage, or free the instance's disk.",
        );
    }
    if says(text, &["timeout", "dial tcp", "no route", "deadline", "connection", "no such host"]) {
        return (
            "the registry cannot be reached",
            "The subnets need a way out: a NAT gateway, a public IP in a public subnet, or VPC \
             endpoints for ECR (api and dkr) and S3; the security groups must allow HTTPS out.",
        );
    }
    if says(
        text,
        &["denied", "unauthorized", "not authorized", "forbidden", "authentication", "403", "401"],
    ) {
        return (
            "access is denied",
            "The execution role needs ecr:GetAuthorizationToken, ecr:BatchGetImage and \
             ecr:GetDownloadUrlForLayer; another account's repository must allow it as well; a \
             private registry needs repositoryCredentials. A repository that does not exist is \
             reported in the same way.",
        );
    }
    (
        "the registry gave an error",
        "The message says what the registry answered; try the same pull by hand from the task's \
         network.",
    )
}
