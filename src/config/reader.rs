//! From the parts of `subrosa.toml` to what they mean.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    AllowedWrite, ConfigError, ExternalId, Integration, ManifestSource, Override, environment,
    file, read,
};
use crate::{
    lease::Scope,
    name::{IntegrationName, ScopeName, ServerName},
    parse_error,
};

/// The tool servers that are described in the binary itself: name, manifest, recorded tools.
const BUILT_IN: [(&str, &str, Option<&str>); 3] = [
    ("ecs", include_str!("../../tools/ecs.toml"), Some(include_str!("../../tools/ecs.tools.json"))),
    (
        "aws-api",
        include_str!("../../tools/aws-api.toml"),
        Some(include_str!("../../tools/aws-api.tools.json")),
    ),
    ("aws", include_str!("../../tools/aws.toml"), None),
];

/// The session policy of the built-in scope `read-only`.
const READ_ONLY_POLICY: &str = include_str!("read-only.json");

/// AWS gives 15 minutes at least, and an hour at most where one role assumes another.
const LEASE_DURATIONS: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(15)..=Duration::from_hours(1);

/// So many characters AWS takes of a session policy (API reference, AssumeRole).
const SESSION_POLICY: usize = 2048;

/// Turns the file's parts into what they mean.
pub(super) struct Reader<'a> {
    pub(super) place: String,
    pub(super) folder: &'a Path,
}

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.place.clone(), message)
    }

    pub(super) fn scopes(
        &self,
        scopes: BTreeMap<ScopeName, file::Scope>,
    ) -> Result<BTreeMap<ScopeName, Scope>, ConfigError> {
        let built_in = Scope::new(READ_ONLY_POLICY);
        let mut known = BTreeMap::from([(ScopeName::read_only(), built_in)]);
        for (name, scope) in scopes {
            if name == ScopeName::read_only() {
                return Err(self.error(format!(
                    "scopes.{name}: `{name}` is built in and stays as it is: give yours another name"
                )));
            }
            let path = self.folder.join(&scope.session_policy);
            let policy = read(&path)?;
            let policy: serde_json::Value = serde_json::from_str(&policy).map_err(|error| {
                ConfigError::new(
                    path.display().to_string(),
                    format!("not a JSON document: {error}"),
                )
            })?;
            let wrong =
                |message: String| Err(ConfigError::new(path.display().to_string(), message));
            if policy.get("Statement").is_none() {
                return wrong("not an IAM policy: it has no `Statement`".into());
            }
            // Minified, because AWS counts characters (API reference, AssumeRole).
            let policy = policy.to_string();
            if policy.chars().count() > SESSION_POLICY {
                return wrong(format!(
                    "has {} characters without white space, and AWS takes {SESSION_POLICY} of a \
                     session policy",
                    policy.chars().count()
                ));
            }
            known.insert(name, Scope::new(policy));
        }
        Ok(known)
    }

    /// Numbers and times with which nothing would work.
    pub(super) fn limits(
        &self,
        limits: file::Limits,
        idle: Duration,
    ) -> Result<file::Limits, ConfigError> {
        let second = Duration::from_secs(1);
        for (key, good, least) in [
            ("limits.request_bytes", limits.request_bytes >= 4096, "4096"),
            ("limits.reply_bytes", limits.reply_bytes >= 4096, "4096"),
            ("limits.calls", limits.calls >= 1, "1"),
            ("limits.native_timeout", limits.native_timeout >= second, "\"1s\""),
            ("session.idle_timeout", idle >= second, "\"1s\""),
        ] {
            if !good {
                return Err(self.error(format!("{key}: must be at least {least}")));
            }
        }
        Ok(limits)
    }

    fn known_scope(
        &self,
        name: &ScopeName,
        scopes: &BTreeMap<ScopeName, Scope>,
        who: &str,
    ) -> Result<(), ConfigError> {
        if scopes.contains_key(name) {
            return Ok(());
        }
        let hint = parse_error::did_you_mean(name.as_str(), scopes.keys().map(ScopeName::as_str));
        Err(self.error(format!(
            "{who}: scope `{name}` is not defined: add [scopes.{name}] with a session_policy file{hint}"
        )))
    }

    pub(super) fn integrations(
        &self,
        integrations: BTreeMap<IntegrationName, file::Integration>,
        scopes: &BTreeMap<ScopeName, Scope>,
    ) -> Result<BTreeMap<IntegrationName, Integration>, ConfigError> {
        let mut seen = BTreeMap::<String, IntegrationName>::new();
        let mut known = BTreeMap::new();
        for (name, integration) in integrations {
            let who = format!("integration `{name}`");
            for id in &integration.credential_ids {
                if let Some(other) = seen.insert(id.clone(), name.clone()) {
                    return Err(self.error(format!(
                        "{who}: credential id `{id}` already belongs to integration `{other}`"
                    )));
                }
            }
            let role_arn = integration.role_arn;
            if let Some(arn) = role_arn.as_deref().filter(|arn| !is_role_arn(arn)) {
                return Err(self.error(format!(
                    "{who}: `{arn}` is not a role: it looks like arn:aws:iam::111111111111:role/NAME"
                )));
            }
            if integration.external_id.is_some() && role_arn.is_none() {
                return Err(self.error(format!("{who}: external_id needs a role_arn")));
            }
            let allowed = integration.scopes.unwrap_or_else(|| vec![ScopeName::read_only()]);
            for scope in &allowed {
                self.known_scope(scope, scopes, &who)?;
            }
            let external_id =
                integration.external_id.map(|text| self.external_id(&who, text)).transpose()?;
            known.insert(
                name,
                Integration {
                    credential_ids: integration.credential_ids,
                    role_arn,
                    external_id,
                    region: integration.region.unwrap_or_default(),
                    base: integration.base,
                    scopes: allowed,
                },
            );
        }
        Ok(known)
    }

    fn external_id(&self, who: &str, text: String) -> Result<ExternalId, ConfigError> {
        if let Ok(reference) = text.parse() {
            return Ok(ExternalId::Reference(reference));
        }
        // A reference to a store that this version cannot read must not become an external id.
        for store in ["vault:", "aws-sm:", "azure-kv:", "op:", "keyring:", "env:"] {
            if text.starts_with(store) {
                return Err(self.error(format!(
                    "{who}: external_id refers to a store that is not supported: use `env:NAME`, \
                     or the id itself"
                )));
            }
        }
        Ok(ExternalId::Literal(text))
    }

    pub(super) fn lease_duration(&self, duration: Duration) -> Result<Duration, ConfigError> {
        if LEASE_DURATIONS.contains(&duration) {
            return Ok(duration);
        }
        Err(self.error(format!(
            "lease: duration {} is outside of what AWS gives a role: 15m to 1h",
            humantime::format_duration(duration)
        )))
    }

    pub(super) fn allowed_writes(
        &self,
        allow: Vec<file::Allow>,
        scopes: &BTreeMap<ScopeName, Scope>,
    ) -> Result<Vec<AllowedWrite>, ConfigError> {
        allow
            .into_iter()
            .map(|allow| {
                let who = format!("policy.allow of `{}`", allow.action);
                if allow.action.contains('*') {
                    return Err(self.error(format!(
                        "{who}: an action is named exactly, as in `aws.ecs.UpdateService`; \
                         patterns are not supported"
                    )));
                }
                self.known_scope(&allow.scope, scopes, &who)?;
                Ok(AllowedWrite { action: allow.action, scope: allow.scope })
            })
            .collect()
    }

    pub(super) fn tool_servers(
        &self,
        mut tools: file::Tools,
    ) -> Result<Vec<ManifestSource>, ConfigError> {
        let folder = tools.dir.map(|dir| self.folder.join(dir));
        let enable = match tools.enable {
            Some(names) => names,
            None => default_servers()?,
        };
        let mut sources = Vec::<ManifestSource>::new();
        for name in enable {
            if sources.iter().any(|source| source.name == name) {
                return Err(self.error(format!("tools: `{name}` is enabled twice")));
            }
            let mut overrides = tools.overrides.remove(&name).unwrap_or_default();
            if let Some(command) = &mut overrides.command {
                *command = environment::program_in(self.folder, command);
            }
            sources.push(self.manifest(name, folder.as_deref(), overrides)?);
        }
        if let Some(name) = tools.overrides.keys().next() {
            return Err(self.error(format!(
                "tools.override.{name}: `{name}` is not enabled; add it to tools.enable"
            )));
        }
        Ok(sources)
    }

    fn manifest(
        &self,
        name: ServerName,
        folder: Option<&Path>,
        overrides: Override,
    ) -> Result<ManifestSource, ConfigError> {
        if let Some(folder) = folder {
            let path = folder.join(format!("{name}.toml"));
            if path.exists() {
                let recorded = folder.join(format!("{name}.tools.json"));
                return Ok(ManifestSource {
                    name,
                    text: read(&path)?,
                    origin: path.display().to_string(),
                    folder: folder.to_path_buf(),
                    recorded_tools: if recorded.exists() { Some(read(&recorded)?) } else { None },
                    overrides,
                });
            }
        }
        let Some((_, text, recorded)) = BUILT_IN.iter().find(|(known, ..)| *known == name.as_str())
        else {
            let known: Vec<&str> = BUILT_IN.iter().map(|(name, ..)| *name).collect();
            let hint = parse_error::did_you_mean(name.as_str(), known.iter().copied());
            return Err(self.error(format!(
                "tools: there is no tool server `{name}`: built in are {}; your own are files of \
                 tools.dir{hint}",
                known.join(", ")
            )));
        };
        Ok(ManifestSource {
            origin: format!("tools/{name}.toml (built in)"),
            text: (*text).to_owned(),
            folder: self.folder.to_path_buf(),
            recorded_tools: recorded.map(str::to_owned),
            name,
            overrides,
        })
    }

    pub(super) fn audit_file(&self, file: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        if let Some(file) = file {
            return Ok(self.folder.join(file));
        }
        environment::state_folder().map(|folder| folder.join("audit.jsonl")).ok_or_else(|| {
            self.error("there is no home folder to keep the audit log in: set audit.file")
        })
    }
}

fn default_servers() -> Result<Vec<ServerName>, ConfigError> {
    let ecs = "ecs".parse().map_err(|error| ConfigError::new("tools", format!("{error}")))?;
    Ok(vec![ecs])
}

/// The form of a role's ARN (IAM User Guide, "IAM identifiers").
fn is_role_arn(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    next() == "arn"
        && next().starts_with("aws")
        && next() == "iam"
        && next().is_empty()
        && {
            let account = next();
            account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
        }
        && next().strip_prefix("role/").is_some_and(|name| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
        })
}
