//! What an AWS CLI command line does, told without running it.
//!
//! It is split as a shell would split it, so that neither spaces nor quotes make `aws ecs
//! delete-cluster` look like anything else. What a line does that cannot be split, or holds what
//! only a shell would understand, is not known, and what is not known is denied.

mod tables;

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use self::tables::{
    CHANGES, CREDENTIAL_WORDS, FORBIDDEN, HARMLESS, LOOKS, PRINTS_CREDENTIALS, SHOWS_VALUES,
    WITH_VALUE, WITHOUT_VALUE, WRITES_A_FILE,
};
use crate::{
    call::{Action, ActionKind},
    redact,
};

/// The action of a command line, or of a list of them.
pub(super) fn classify(argument: &Value) -> Action {
    match argument {
        Value::String(line) => one(line),
        Value::Array(lines) => {
            let actions: Vec<Action> =
                lines.iter().map(|line| line.as_str().map_or_else(unknown, one)).collect();
            all(&actions)
        }
        _ => unknown(),
    }
}

/// The action of several: what may never be done first, then what cannot be told, then the change.
/// Two different changes are not one action that could be allowed by its name.
fn all(actions: &[Action]) -> Action {
    let names = names(actions);
    let first = |kind| actions.iter().find(|action| action.kind == kind);
    let denied =
        [ActionKind::Credential, ActionKind::Escape, ActionKind::Nameless, ActionKind::Unknown];
    if let Some(action) = denied.into_iter().find_map(first) {
        return Action { resource: names, ..action.clone() };
    }
    let Some(action) = first(ActionKind::Write).or(actions.first()) else { return unknown() };
    let another = |other: &Action| other.kind == ActionKind::Write && other.name != action.name;
    if actions.iter().any(another) {
        return Action { resource: names, ..unknown() };
    }
    Action { resource: names, ..action.clone() }
}

/// The names of several actions, where there are several.
fn names(actions: &[Action]) -> Option<String> {
    let mut names: Vec<&str> = actions.iter().map(|action| &*action.name).collect();
    names.dedup();
    (names.len() > 1).then(|| names.join(", "))
}

fn one(line: &str) -> Action {
    if needs_a_shell(line) {
        return unknown();
    }
    let Some(words) = shlex::split(line) else { return unknown() };
    let command = Command::read(&words);
    // First of all: it makes any other command something else.
    if words.iter().any(|word| strays(word)) {
        let name = command.map_or_else(|| unknown().name, |command| command.name());
        return Action { name, kind: ActionKind::Escape, resource: None };
    }
    match command {
        Some(command) => Action { name: command.name(), kind: command.kind(), resource: None },
        None => unknown(),
    }
}

fn unknown() -> Action {
    Action { name: String::from("aws.cli.Unknown"), kind: ActionKind::Unknown, resource: None }
}

struct Command<'a> {
    service: &'a str,
    operation: &'a str,
    /// What follows `aws`, in its order.
    words: &'a [String],
}

impl<'a> Command<'a> {
    fn read(line: &'a [String]) -> Option<Self> {
        let (program, words) = line.split_first()?;
        if program != "aws" {
            return None;
        }
        let mut names = Vec::new();
        let mut rest = words.iter();
        while names.len() < 2 {
            let word = rest.next()?;
            if !word.starts_with('-') {
                names.push(word.as_str());
                continue;
            }
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word.as_str(), None),
            };
            if WITH_VALUE.contains(&option) {
                if value.is_none() {
                    rest.next()?;
                }
            } else if !WITHOUT_VALUE.contains(&option) {
                // An option that is not known may swallow the next word.
                return None;
            }
        }
        let [service, operation] = *names.as_slice() else { return None };
        let is_name = |text: &str| {
            (1..=80).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        (is_name(service) && is_name(operation)).then_some(Self { service, operation, words })
    }

    fn name(&self) -> String {
        format!("aws.{}.{}", self.service, pascal(self.operation))
    }

    fn kind(&self) -> ActionKind {
        let named = (self.service, self.operation);
        let words: Vec<&str> = self.operation.split('-').collect();
        let says_credential =
            words.iter().any(|word| CREDENTIAL_WORDS.contains(word)) && !HARMLESS.contains(&named);
        // Whatever `aws configure` does, it does to the credentials of the machine.
        if says_credential || PRINTS_CREDENTIALS.contains(&named) || self.service == "configure" {
            return ActionKind::Credential;
        }
        if WRITES_A_FILE.contains(&named) {
            return ActionKind::Escape;
        }
        let (["batch", verb, ..] | [verb, ..]) = words.as_slice() else {
            return ActionKind::Write;
        };
        if !LOOKS.contains(verb) || CHANGES.contains(&named) {
            return ActionKind::Write;
        }
        if self.takes_names_away() { ActionKind::Nameless } else { ActionKind::Read }
    }

    /// Whether secrets could stand in the answer without the names that tell them.
    fn takes_names_away(&self) -> bool {
        let shows_values = SHOWS_VALUES
            .iter()
            .any(|(service, all)| *service == self.service && all.contains(&self.operation));
        self.values("--query").any(|query| shows_values || picks_values(query))
            || self.values("--output").any(|format| format != "json")
    }

    /// What follows an option, also where it is written short.
    fn values(&self, option: &'static str) -> impl Iterator<Item = &str> {
        let next = self.words.iter().skip(1).map(String::as_str).chain([""]);
        self.words.iter().zip(next).filter_map(move |(word, next)| {
            let (name, value) = word.split_once('=').unwrap_or((word, next));
            (name.len() > 2 && option.starts_with(name)).then_some(value)
        })
    }
}

/// Whether a JMESPath query picks values apart from their names. The value of a tag is none.
fn picks_values(query: &str) -> bool {
    static TAGS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let form = r"\btag(s|set|list)?\s*\[[^\[\]]*\](\s*\|\s*\[\d+\])?\s*\.\s*value\b";
        RegexBuilder::new(form).unicode(false).case_insensitive(true).build().ok()
    });
    let query = query.as_bytes();
    let rest = TAGS.as_ref().map_or(query.into(), |tags| tags.replace_all(query, &b""[..]));
    let rest = String::from_utf8_lossy(&rest).to_ascii_lowercase();
    // `x.*` is all values of an object; `x[*]` all items of a list, with their names.
    if rest.replace("[*]", "").contains('*') {
        return true;
    }
    let mut words = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| {
        matches!(word, "value" | "values" | "variables") || redact::promises_a_secret(word)
    })
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
            "aws ecs execute-command --command sh",
            "aws stepfunctions get-activity-task --activity-arn x",
        ] {
            assert_eq!(kind(line), ActionKind::Write, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for line in [
            "aws --unknown list-clusters ecs delete-cluster",
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
    fn what_leads_away_from_the_lease_is_neither_a_read_nor_a_write() {
        for line in [
            "aws --endpoint-url http://127.0.0.1:9 ecs list-clusters",
            "aws --profile other ecs list-clusters",
            "aws ecs update-service --service web --endpoint-url=http://127.0.0.1:9",
            "aws secretsmanager get-secret-value --secret-id x --debug",
            "aws s3api get-object --bucket b --key k /home/u/.aws/config",
            "aws emr get --src a --dest /home/u/.aws/config",
            "aws ecs describe-clusters --cli-input-yaml x",
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
            assert_eq!(kind(line), ActionKind::Escape, "{line}");
        }
    }

    #[test]
    fn values_are_not_shown_without_the_names_that_tell_secrets() {
        for line in [
            "aws ecs describe-task-definition --task-definition w --query taskDefinition",
            "aws ecs describe-task-definition --task-definition w --output text",
            "aws ecs describe-task-definition --task-definition w --outp=text",
            "aws --query 'x' ecs describe-tasks --tasks t",
            "aws lambda list-functions --output yaml",
            "aws lambda get-alias --query 'Environment.Variables.*'",
            "aws new-service describe-thing --query 'Endpoints[*].*'",
            "aws ecs list-clusters --output text",
            "aws configservice get-resource-config-history --query x",
            "aws new-service describe-thing --query 'things[].value'",
            "aws new-service describe-thing --qu=things[].dbPassword",
        ] {
            assert_eq!(kind(line), ActionKind::Nameless, "{line}");
        }
        for line in [
            "aws ecs describe-task-definition --task-definition w --output json",
            "aws ecs list-tasks --query 'taskArns[0]' --output json",
            "aws ecs list-services --query 'serviceArns[*]'",
            "aws ec2 describe-instances --query 'Reservations[].Instances[].Tags[?Key==`Name`].Value'",
            "aws ec2 describe-instances --query 'Reservations[].Instances[].[Tags[?Key==`Name`]|[0].Value]'",
        ] {
            assert_eq!(kind(line), ActionKind::Read, "{line}");
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
            "aws lambda get-layer-version --layer-name x --version-number 1",
            "aws configure import",
            "aws configure list",
            "aws configure get aws_secret_access_key",
        ] {
            assert_eq!(kind(line), ActionKind::Credential, "{line}");
        }
    }

    #[test]
    fn a_list_is_what_must_not_be_missed_of_it() {
        let list = |lines: &[&str]| {
            let action = classify(&json!(lines));
            (action.name, action.kind, action.resource.unwrap_or_default())
        };
        let (reads, update) = ("aws ecs list-clusters", "aws ecs update-service --service web");
        let delete = "aws ecs delete-cluster --cluster prod";
        assert_eq!(
            list(&[reads, delete, "aws s3 ls"]),
            (
                "aws.ecs.DeleteCluster".into(),
                ActionKind::Write,
                "aws.ecs.ListClusters, aws.ecs.DeleteCluster, aws.s3.Ls".into()
            )
        );
        assert_eq!(list(&[update, update]).1, ActionKind::Write);
        // One that may be allowed must not take another along.
        assert_eq!(list(&[update, delete]).1, ActionKind::Unknown);
        assert_eq!(list(&[delete, update]).1, ActionKind::Unknown);
        for (line, kind) in [
            ("aws ecs 'unterminated", ActionKind::Unknown),
            ("aws configure list", ActionKind::Credential),
            ("aws ecs list-clusters --profile x", ActionKind::Escape),
            ("aws ecs describe-tasks --query x", ActionKind::Nameless),
        ] {
            assert_eq!(list(&[update, line]).1, kind, "{line}");
            assert_eq!(list(&[line, update]).1, kind, "{line}");
        }
        let (name, kind, resource) = list(&[reads, "aws s3 ls"]);
        assert_eq!((&*name, kind), ("aws.ecs.ListClusters", ActionKind::Read));
        assert_eq!(resource, "aws.ecs.ListClusters, aws.s3.Ls");
        for odd in [json!([]), json!(null), json!(["aws s3 ls", 3]), json!({"a": 1})] {
            assert_eq!(classify(&odd).kind, ActionKind::Unknown, "{odd}");
        }
    }
}
