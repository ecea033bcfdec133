//! A tool server's manifest: how it is started, what it needs, and what its calls do.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::command_line;
use crate::{
    call::{Action, ActionKind},
    config::{self, ConfigError, ManifestSource, environment},
    lease::Delivery,
    name::{ScopeName, ServerName},
};

/// A manifest, as in `tools/ecs.toml`.
#[derive(Debug)]
pub struct Manifest {
    /// The tool server's name.
    pub name: ServerName,
    file: File,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    command: String,
    #[serde(default)]
    args: Vec<String>,
    install: Option<String>,
    #[serde(default)]
    inherit: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    write_env: BTreeMap<String, String>,
    #[serde(default = "call_timeout", deserialize_with = "config::duration")]
    timeout: Duration,
    #[serde(default = "start_timeout", deserialize_with = "config::duration")]
    start_timeout: Duration,
    credentials: Option<Credentials>,
    #[serde(default)]
    actions: BTreeMap<String, Rule>,
    #[serde(default)]
    sandbox: Sandbox,
}

fn call_timeout() -> Duration {
    Duration::from_mins(1)
}

fn start_timeout() -> Duration {
    // The first start may install the program.
    Duration::from_mins(3)
}

/// What credentials a tool server needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    #[expect(dead_code, reason = "one provider so far; the key says so in the file")]
    provider: Provider,
    /// The scope of its leases when it only looks.
    #[serde(default = "ScopeName::read_only")]
    pub scope: ScopeName,
    /// How it gets them.
    #[serde(default)]
    pub delivery: Delivery,
    /// Whether it does not even start without them.
    #[serde(default)]
    pub at_start: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Provider {
    Aws,
}

/// What the child must be able to reach, for the sandbox.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sandbox {
    hosts: Vec<String>,
    read: Vec<String>,
}

/// What a tool does, told from its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The action's name; `{argument}` stands for that argument's value.
    name: Option<String>,
    /// The values of that argument with which the tool only looks; `*` at the end stands for any.
    #[serde(default)]
    read: Vec<String>,
    /// The value of that argument where it is left out.
    default: Option<String>,
    /// What the tool does whatever its arguments are.
    kind: Option<FixedKind>,
    /// The argument that holds an AWS CLI command line, or a list of them.
    command_line: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FixedKind {
    Read,
    Write,
}

impl Manifest {
    /// Reads a manifest and applies what the configuration changes of it.
    pub fn read(source: &ManifestSource) -> Result<Self, ConfigError> {
        let mut file: File = config::parse_toml(&source.text, &source.origin)?;
        file.command = environment::program_in(&source.folder, &file.command);
        let overrides = &source.overrides;
        if let Some(command) = &overrides.command {
            file.command.clone_from(command);
            // Arguments belong to the program that they were written for.
            file.args = Vec::new();
        }
        if let Some(args) = &overrides.args {
            file.args.clone_from(args);
        }
        file.env.extend(overrides.env.clone());
        file.timeout = overrides.timeout.unwrap_or(file.timeout);
        if let (Some(delivery), Some(credentials)) = (overrides.delivery, &mut file.credentials) {
            credentials.delivery = delivery;
        }
        for (tool, rule) in &file.actions {
            rule.check().map_err(|message| {
                ConfigError::new(format!("{}: actions.{tool}", source.origin), message)
            })?;
        }
        Ok(Self { name: source.name.clone(), file })
    }

    /// One line on what it is.
    pub fn description(&self) -> &str {
        &self.file.description
    }

    /// The program.
    pub fn command(&self) -> &str {
        &self.file.command
    }

    /// Its arguments.
    pub fn args(&self) -> &[String] {
        &self.file.args
    }

    /// What to tell a user who does not have the program.
    pub fn install(&self) -> Option<&str> {
        self.file.install.as_deref()
    }

    /// The variables of our own environment that it gets; `*` at the end stands for any.
    pub fn inherit(&self) -> &[String] {
        &self.file.inherit
    }

    /// The variables that are set for it.
    pub fn env(&self, may_write: bool) -> BTreeMap<&str, &str> {
        let mut env: BTreeMap<&str, &str> =
            self.file.env.iter().map(|(name, value)| (&**name, &**value)).collect();
        if may_write {
            env.extend(self.file.write_env.iter().map(|(name, value)| (&**name, &**value)));
        }
        env
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        self.file.timeout
    }

    /// How long it may take to start.
    pub fn start_timeout(&self) -> Duration {
        self.file.start_timeout
    }

    /// The credentials that it needs.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.file.credentials.as_ref()
    }

    /// The scope that its calls get where they only look.
    pub fn looks_with(&self) -> ScopeName {
        self.file
            .credentials
            .as_ref()
            .map_or_else(ScopeName::read_only, |needs| needs.scope.clone())
    }

    /// The hosts and folders that the sandbox will have to let it reach.
    pub fn sandbox(&self) -> (&[String], &[String]) {
        (&self.file.sandbox.hosts, &self.file.sandbox.read)
    }

    /// What a call of one of its tools does. A tool that the manifest does not know counts as a
    /// write; what arguments do not tell is not guessed.
    pub fn action(&self, tool: &str, arguments: &Map<String, Value>) -> Action {
        let own = |kind| {
            let tool = if is_word(tool) { tool } else { "unknown" };
            Action { name: format!("{}.{tool}", self.name), kind, resource: None }
        };
        match self.file.actions.get(tool) {
            Some(rule) => rule.action(arguments).unwrap_or_else(|| own(ActionKind::Unknown)),
            None => own(ActionKind::Write),
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), &'static str> {
        match (&self.command_line, &self.name, self.kind) {
            (Some(_), None, None) if self.read.is_empty() && self.default.is_none() => Ok(()),
            (Some(_), ..) => Err("command_line stands alone"),
            (None, None, _) => Err("needs a name, or a command_line"),
            (None, Some(_), Some(_)) if !self.read.is_empty() => Err("has both kind and read"),
            (None, Some(name), kind) => match (placeholder(name), kind) {
                (None, None) => {
                    Err("needs an argument in its name, as in `aws.ecs.{operation}`, or a kind")
                }
                _ => Ok(()),
            },
        }
    }

    fn action(&self, arguments: &Map<String, Value>) -> Option<Action> {
        if let Some(argument) = &self.command_line {
            return arguments.get(argument).map(command_line::classify);
        }
        let name = self.name.as_deref()?;
        let (name, value) = match placeholder(name) {
            None => (name.to_owned(), None),
            Some((before, argument, after)) => {
                let value = match arguments.get(argument) {
                    None | Some(Value::Null) => self.default.as_deref()?,
                    Some(value) => value.as_str()?,
                };
                if !is_word(value) {
                    return None;
                }
                (format!("{before}{value}{after}"), Some(value))
            }
        };
        let looks = match (self.kind, value) {
            (Some(FixedKind::Read), _) => true,
            (Some(FixedKind::Write), _) | (None, None) => false,
            (None, Some(value)) => self.read.iter().any(|pattern| matches(pattern, value)),
        };
        let kind = if looks { ActionKind::Read } else { ActionKind::Write };
        Some(Action { name, kind, resource: None })
    }
}

/// `aws.ecs.{api_operation}` as what stands before, in and after the braces.
fn placeholder(name: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = name.split_once('{')?;
    let (argument, after) = rest.split_once('}')?;
    Some((before, argument, after))
}

/// The whole value, or its beginning if the pattern ends in `*`.
pub(super) fn matches(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => value == pattern,
    }
}

/// What may become part of an action's name.
fn is_word(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Override;

    fn read(text: &str) -> Result<Manifest, ConfigError> {
        Manifest::read(&ManifestSource {
            name: "mine".parse().unwrap(),
            origin: "mine.toml".into(),
            folder: "/servers".into(),
            text: text.into(),
            recorded_tools: None,
            overrides: Override::default(),
        })
    }

    fn action(tool: &str, arguments: &Value) -> (String, ActionKind) {
        let manifest = read(
            r#"
            description = "d"
            command = "c"
            [actions]
            manage = { name = "aws.ecs.{api_operation}", read = ["Describe*", "List*"] }
            look = { name = "mine.{action}", read = ["fetch", "guide"], default = "guide" }
            wait = { name = "mine.Wait", kind = "read" }
            "#,
        )
        .unwrap();
        let action = manifest.action(tool, arguments.as_object().unwrap());
        (action.name, action.kind)
    }

    #[test]
    fn reads_are_told_by_their_argument() {
        let read = |name: &str| (name.to_owned(), ActionKind::Read);
        assert_eq!(
            action("manage", &json!({"api_operation": "ListClusters"})),
            read("aws.ecs.ListClusters")
        );
        assert_eq!(action("look", &json!({})), read("mine.guide"));
        assert_eq!(action("look", &json!({"action": null})), read("mine.guide"));
        assert_eq!(action("wait", &json!({"x": 1})), read("mine.Wait"));
    }

    #[test]
    fn all_else_is_a_write_or_unknown() {
        for (tool, arguments) in [
            ("manage", json!({"api_operation": "UpdateService"})),
            ("manage", json!({"api_operation": "describeServices"})),
            ("look", json!({"action": "fetcher"})),
            ("unheard", json!({})),
            ("bad name\n", json!({})),
        ] {
            assert_eq!(action(tool, &arguments).1, ActionKind::Write, "{tool} {arguments}");
        }
        for (tool, arguments) in [
            ("manage", json!({"api_operation": " DescribeServices"})),
            ("manage", json!({"api_operation": ["DescribeServices"]})),
            ("manage", json!({"api_operation": ""})),
            ("manage", json!({"API_OPERATION": "DescribeServices"})),
            ("manage", json!({})),
            ("look", json!({"action": 3})),
        ] {
            assert_eq!(action(tool, &arguments).1, ActionKind::Unknown, "{tool} {arguments}");
        }
    }

    #[test]
    fn a_mistake_in_a_manifest_is_told() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        assert!(said("description = \"d\"\ncomand = \"c\"").contains("did you mean `command`?"));
        let rule = |rule: &str| {
            said(&format!("description = \"d\"\ncommand = \"c\"\n[actions]\nx = {rule}"))
        };
        assert!(rule("{ name = \"a.b\" }").contains("mine.toml: actions.x: needs an argument"));
        assert!(rule("{ read = [\"x\"] }").contains("needs a name"));
        assert!(rule("{ command_line = \"c\", name = \"x\" }").contains("stands alone"));
    }
}
