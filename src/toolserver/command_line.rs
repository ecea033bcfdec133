//! What an AWS CLI command line does, told without running it.
//!
//! It is split as a shell would split it, so that neither spaces nor quotes make `aws ecs
//! delete-cluster` look like anything else. What a line does that cannot be split, or holds what
//! only a shell would understand, is not known, and what is not known is denied.

use serde_json::Value;

use crate::call::{Action, ActionKind};

/// Global options that take a value (AWS CLI User Guide, "Command line options").
const WITH_VALUE: [&str; 7] = [
    "--output",
    "--query",
    "--region",
    "--color",
    "--cli-read-timeout",
    "--cli-connect-timeout",
    "--cli-binary-format",
];

/// Global options that take none.
const WITHOUT_VALUE: [&str; 3] = ["--no-paginate", "--no-cli-pager", "--no-cli-auto-prompt"];

/// Options that lead the command away from the lease: to other credentials, to another host with
/// the lease in hand, or to a log of every header. Any beginning of one means it too.
const FORBIDDEN: [&str; 8] = [
    "--profile",
    "--endpoint-url",
    "--debug",
    "--no-sign-request",
    "--no-verify-ssl",
    "--ca-bundle",
    "--cli-auto-prompt",
    "--cli-input-json",
];

/// First words of operations that look.
const LOOKS: [&str; 9] =
    ["describe", "list", "get", "head", "search", "lookup", "filter", "ls", "wait"];

/// Words in the names of operations that print credentials.
const CREDENTIAL_WORDS: [&str; 7] =
    ["token", "tokens", "credentials", "credential", "password", "presigned", "presign"];

/// Operations that print credentials and do not say so in their name.
const PRINTS_CREDENTIALS: [(&str, &str); 22] = [
    ("secretsmanager", "get-secret-value"),
    ("secretsmanager", "batch-get-secret-value"),
    ("ssm", "get-parameter"),
    ("ssm", "get-parameters"),
    ("ssm", "get-parameters-by-path"),
    ("ssm", "get-parameter-history"),
    ("ecr", "get-login"),
    ("apigateway", "get-api-key"),
    ("apigateway", "get-api-keys"),
    ("appsync", "list-api-keys"),
    ("athena", "get-session-endpoint"),
    ("bedrock-agentcore", "get-resource-api-key"),
    ("cloudfront-keyvaluestore", "get-key"),
    ("emr", "get-session-endpoint"),
    ("gamelift", "get-compute-access"),
    ("lambda", "get-function"),
    ("lightsail", "get-instance-access-details"),
    ("location", "describe-key"),
    ("s3control", "get-data-access"),
    ("sso", "list-accounts"),
    ("wickr", "get-opentdf-config"),
    ("iot", "get-registration-code"),
];

/// Operations whose names say "password" or "token" and that print none.
const HARMLESS: [(&str, &str); 1] = [("iam", "get-account-password-policy")];

/// Operations that write what they get to a file of the machine (all that stream their output, in
/// the service models of botocore 1.44).
const WRITES_A_FILE: [(&str, &str); 44] = [
    ("apigateway", "get-export"),
    ("apigateway", "get-sdk"),
    ("appconfig", "get-configuration"),
    ("appconfig", "get-hosted-configuration-version"),
    ("appconfigdata", "get-latest-configuration"),
    ("appsync", "get-introspection-schema"),
    ("cloudfront", "get-connection-function"),
    ("cloudfront", "get-function"),
    ("codeartifact", "get-package-version-asset"),
    ("codeguruprofiler", "get-profile"),
    ("datazone", "get-lineage-event"),
    ("ebs", "get-snapshot-block"),
    ("geo-maps", "get-glyphs"),
    ("geo-maps", "get-sprites"),
    ("geo-maps", "get-static-map"),
    ("geo-maps", "get-style-descriptor"),
    ("geo-maps", "get-tile"),
    ("glacier", "get-job-output"),
    ("iot-data", "get-thing-shadow"),
    ("iotwireless", "get-position-estimate"),
    ("iotwireless", "get-resource-position"),
    ("kinesis-video-archived-media", "get-clip"),
    ("kinesis-video-archived-media", "get-media-for-fragment-list"),
    ("kinesis-video-media", "get-media"),
    ("lakeformation", "get-work-unit-results"),
    ("location", "get-map-glyphs"),
    ("location", "get-map-sprites"),
    ("location", "get-map-style-descriptor"),
    ("location", "get-map-tile"),
    ("medialive", "describe-input-device-thumbnail"),
    ("mediastore-data", "get-object"),
    ("medical-imaging", "get-image-frame"),
    ("medical-imaging", "get-image-set-metadata"),
    ("omics", "get-read-set"),
    ("omics", "get-reference"),
    ("s3api", "get-object"),
    ("s3api", "get-object-annotation"),
    ("s3api", "get-object-torrent"),
    ("s3", "get-object"),
    ("sagemaker-geospatial", "get-tile"),
    ("schemas", "get-code-binding-source"),
    ("workmailmessageflow", "get-raw-message-content"),
    ("bedrock-agent-runtime", "get-document-content"),
    ("rds", "download-db-log-file-portion"),
];

/// The action of a command line, or of a list of them: the gravest one's.
pub(super) fn classify(argument: &Value) -> Action {
    match argument {
        Value::String(line) => one(line),
        Value::Array(lines) => lines
            .iter()
            .map(|line| line.as_str().map_or_else(unknown, one))
            .max_by_key(|action| gravity(action.kind))
            .unwrap_or_else(unknown),
        _ => unknown(),
    }
}

fn gravity(kind: ActionKind) -> u8 {
    match kind {
        ActionKind::Session => 0,
        ActionKind::Read => 1,
        ActionKind::Write => 2,
        ActionKind::Credential => 3,
        ActionKind::Unknown => 4,
    }
}

fn one(line: &str) -> Action {
    let Some(command) = Command::read(line) else { return unknown() };
    let name = format!("aws.{}.{}", command.service, pascal(&command.operation));
    Action { name, kind: command.kind(), resource: None }
}

fn unknown() -> Action {
    Action { name: String::from("aws.cli.Unknown"), kind: ActionKind::Unknown, resource: None }
}

struct Command {
    service: String,
    operation: String,
    rest: Vec<String>,
}

impl Command {
    fn read(line: &str) -> Option<Self> {
        if needs_a_shell(line) {
            return None;
        }
        let mut words = shlex::split(line)?.into_iter();
        if words.next()? != "aws" {
            return None;
        }
        let mut rest = Vec::new();
        let mut names = Vec::new();
        while let Some(word) = words.next() {
            let option = word.split_once('=').map_or(&*word, |(option, _)| option);
            if !word.starts_with('-') && names.len() < 2 {
                names.push(word);
                continue;
            }
            if names.len() < 2 {
                let takes_value = WITH_VALUE.contains(&option) && !word.contains('=');
                let known = WITH_VALUE.contains(&option) || WITHOUT_VALUE.contains(&option);
                // An option that is not known may swallow the next word.
                if !known {
                    return None;
                }
                if takes_value {
                    rest.push(words.next()?);
                }
            }
            rest.push(word);
        }
        let operation = names.pop()?;
        let service = names.pop()?;
        let is_name = |text: &str| {
            (1..=80).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        (is_name(&service) && is_name(&operation)).then_some(Self { service, operation, rest })
    }

    fn kind(&self) -> ActionKind {
        let named = (&*self.service, &*self.operation);
        let words: Vec<&str> = self.operation.split('-').collect();
        let says_credential =
            words.iter().any(|word| CREDENTIAL_WORDS.contains(word)) && !HARMLESS.contains(&named);
        if says_credential || PRINTS_CREDENTIALS.contains(&named) {
            return ActionKind::Credential;
        }
        let (["batch", verb, ..] | [verb, ..]) = words.as_slice() else {
            return ActionKind::Write;
        };
        let strays = self.rest.iter().any(|word| strays(word));
        if !LOOKS.contains(verb) || WRITES_A_FILE.contains(&named) || strays {
            return ActionKind::Write;
        }
        ActionKind::Read
    }
}

/// Whether the line holds what a shell would act upon. Quoted, most of it is harmless: JMESPath
/// queries are full of pipes and backticks.
fn needs_a_shell(line: &str) -> bool {
    let mut quote = None;
    let mut escaped = false;
    for c in line.chars() {
        let acts = match quote {
            Some('\'') => "",
            Some(_) => "`$",
            None => "`$|;&<>#(){}",
        };
        match (quote, c) {
            _ if matches!(c, '\n' | '\r' | '\0') => return true,
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (_, c) if acts.contains(c) => return true,
            _ => {}
        }
    }
    false
}

/// Whether a word leads away from the lease, or to a file or URL.
fn strays(word: &str) -> bool {
    let option = word.split_once('=').map_or(word, |(option, _)| option);
    let forbidden = option.len() > 2
        && option.starts_with("--")
        && FORBIDDEN.iter().any(|forbidden| forbidden.starts_with(option));
    forbidden || ["file://", "fileb://", "http://", "https://"].iter().any(|url| word.contains(url))
}

fn pascal(kebab: &str) -> String {
    kebab
        .split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + chars.as_str()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(line: &str) -> ActionKind {
        classify(&json!(line)).kind
    }

    #[test]
    fn looking_is_told_however_it_is_written() {
        for line in [
            "aws ecs describe-services --cluster prod --services web",
            "aws  ecs   describe-services --services 'web' \"api\"",
            "aws --region us-west-2 --output json ecs list-clusters",
            "aws --region=us-west-2 'ecs' \"list-clusters\"",
            "aws s3 ls",
            "aws ecs wait services-stable --cluster prod --services web",
            "aws ecr batch-get-image --repository-name web",
            "aws logs filter-log-events --log-group-name /ecs/web",
            "aws iam get-account-password-policy",
            "aws sts get-caller-identity",
            r"aws ecs describe-services --query 'services[?runningCount < `1`] | [0] && a'",
            r#"aws logs filter-log-events --filter-pattern "a | b; c & d""#,
        ] {
            assert_eq!(kind(line), ActionKind::Read, "{line}");
        }
        let action = classify(&json!("aws ecs describe-task-definition --x y"));
        assert_eq!(action.name, "aws.ecs.DescribeTaskDefinition");
    }

    #[test]
    fn a_change_is_a_write_however_it_is_written() {
        for line in [
            "aws ecs update-service --service web",
            "aws ecs 'delete-cluster'",
            "aws  --output json   ecs delete-cluster",
            "aws s3 cp s3://b/k -",
            "aws s3api get-object --bucket b --key k /home/u/.aws/config",
            "aws ecs execute-command --command sh",
            "aws configure import",
        ] {
            assert_eq!(kind(line), ActionKind::Write, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for line in [
            "aws --unknown list-clusters ecs delete-cluster",
            "aws --endpoint-url http://127.0.0.1:9 ecs list-clusters",
            "aws --profile other ecs list-clusters",
            "aws ecs list-clusters; aws ecs delete-cluster",
            "aws ecs list-clusters && aws ecs delete-cluster | x",
            "aws ecs list-clusters $(aws ecs delete-cluster)",
            "aws ecs list-clusters `x`",
            "aws ecs list-clusters > out",
            "aws ecs list-clusters & aws ecs delete-cluster",
            "aws ecs describe-clusters --clusters $HOME",
            r#"aws ecs describe-clusters --clusters "$(id)""#,
            r"aws ecs describe-clusters --clusters '\'; aws ecs delete-cluster'",
            "aws ecs list-clusters\naws ecs delete-cluster",
            "aws ecs 'unterminated",
            "ecs list-clusters",
            "sh -c 'aws ecs list-clusters'",
            "aws",
            "aws ecs",
            "",
            "aws ECS list-clusters",
        ] {
            assert_eq!(kind(line), ActionKind::Unknown, "{line}");
        }
    }

    #[test]
    fn looking_with_other_credentials_or_at_another_host_is_a_write() {
        for line in [
            "aws ecs list-clusters --profile other",
            "aws ecs list-clusters --prof other",
            "aws ecs list-clusters --profile=other",
            "aws ecs list-clusters --endpoint-url http://127.0.0.1:9",
            "aws ecs list-clusters --end http://127.0.0.1:9",
            "aws ecs list-clusters --debug",
            "aws ecs list-clusters --deb",
            "aws ecs list-clusters --no-verify-ssl",
            "aws ecs describe-clusters --cli-input-json file://x.json",
            "aws ecs describe-clusters --clusters file:///etc/passwd",
            "aws ecs describe-clusters --clusters=fileb://x",
        ] {
            assert_eq!(kind(line), ActionKind::Write, "{line}");
        }
    }

    #[test]
    fn printing_a_credential_is_told() {
        for line in [
            "aws sts get-session-token",
            "aws secretsmanager get-secret-value --secret-id db",
            "aws ssm get-parameter --name x --with-decryption",
            "aws ecr get-login-password",
            "aws ecr get-authorization-token",
            "aws eks get-token --cluster-name x",
            "aws rds generate-db-auth-token",
            "aws s3 presign s3://b/k",
            "aws lambda get-function --function-name f",
            "aws 'secretsmanager' get-secret-value",
            "aws configure export-credentials",
        ] {
            assert_eq!(kind(line), ActionKind::Credential, "{line}");
        }
    }

    #[test]
    fn a_list_is_as_grave_as_its_gravest_line() {
        let list = json!(["aws ecs list-clusters", "aws ecs delete-cluster", "aws s3 ls"]);
        assert_eq!(classify(&list).name, "aws.ecs.DeleteCluster");
        let list = json!(["aws ecs list-clusters", "aws s3 ls"]);
        assert_eq!(classify(&list).kind, ActionKind::Read);
        for odd in [json!([]), json!(null), json!(["aws s3 ls", 3]), json!({"a": 1})] {
            assert_eq!(classify(&odd).kind, ActionKind::Unknown, "{odd}");
        }
    }
}
