//! Configuration: the one place that reads the environment and configuration files, and what
//! they come to as one typed value.
//!
//! A file is found by `--config`, then `SUBROSA_CONFIG`, then in the user's configuration folder;
//! none is fine too. The working directory is not searched: an MCP client starts servers in
//! whatever project is open, and a file of that project must not be able to name a program that
//! is then started with the user's credentials.

pub mod environment;
mod file;
mod reader;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::file::duration;
pub use self::file::{Limits, Override};
use self::reader::Reader;
use crate::{
    lease::{Region, Scope},
    name::{IntegrationName, ScopeName, ServerName},
    parse_error,
    secret::SecretRef,
};

/// All that the server was told.
#[derive(Debug)]
pub struct Config {
    /// Accounts and roles that credentials come from.
    pub integrations: BTreeMap<IntegrationName, Integration>,
    /// What leases may do; always has `read-only`.
    pub scopes: BTreeMap<ScopeName, Scope>,
    /// How sessions behave.
    pub session: SessionRules,
    /// How long a lease lives.
    pub lease_duration: Duration,
    /// The writes that the operator allows.
    pub allowed_writes: Vec<AllowedWrite>,
    /// The tool servers that are switched on, in order.
    pub tool_servers: Vec<ManifestSource>,
    /// Where the audit log is written.
    pub audit_file: PathBuf,
    /// Sizes and times that bound a call.
    pub limits: Limits,
}

/// A configured account or role.
#[derive(Debug)]
pub struct Integration {
    /// The ids by which stack jobs name it.
    pub credential_ids: Vec<String>,
    /// The role to assume; without one the base credential itself is limited.
    pub role_arn: Option<String>,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<ExternalId>,
    /// The region to work in where nothing else says so.
    pub region: Region,
    /// The base credential.
    pub base: Base,
    /// The scopes that leases from it may have.
    pub scopes: Vec<ScopeName>,
}

/// An external id, as it is or where to find it.
#[derive(Debug)]
pub enum ExternalId {
    /// The id itself, which AWS does not count as a secret.
    Literal(String),
    /// Where it is kept.
    Reference(SecretRef),
}

/// A base credential: long-lived or ambient, it never leaves the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// What the AWS SDK's default chain finds.
    #[default]
    Environment,
    /// A profile of the AWS configuration files.
    Profile(String),
    /// Keys, by reference.
    Keys {
        /// The access key id.
        access_key_id: SecretRef,
        /// The secret access key.
        secret_access_key: SecretRef,
        /// The session token of a temporary key.
        session_token: Option<SecretRef>,
    },
}

/// How sessions behave.
#[derive(Debug)]
pub struct SessionRules {
    /// After this long without a call the context is cleared.
    pub idle_timeout: Duration,
    /// Whether keys that come through the conversation are accepted.
    pub literal_credentials: bool,
    /// Whether an empty context falls back to the server's own environment.
    pub environment_fallback: bool,
}

/// A write that the operator allows, and the scope that a lease for it gets.
#[derive(Debug)]
pub struct AllowedWrite {
    /// The action's exact name.
    pub action: String,
    /// The scope.
    pub scope: ScopeName,
}

/// A tool server's manifest, not parsed yet.
#[derive(Debug)]
pub struct ManifestSource {
    /// The tool server's name.
    pub name: ServerName,
    /// Where the text is from, for messages.
    pub origin: String,
    /// The manifest's text.
    pub text: String,
    /// Where the relative path of a program in it starts.
    pub folder: PathBuf,
    /// The tools that it was recorded with, as the `result` of a `tools/list`.
    pub recorded_tools: Option<String>,
    /// What the configuration changes of it.
    pub overrides: Override,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    place: String,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Config {
    /// Finds and reads the configuration. `explicit` is the `--config` argument.
    pub fn load(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let named = explicit
            .map(Path::to_path_buf)
            .or_else(|| environment::variable("SUBROSA_CONFIG").map(PathBuf::from));
        let found = named.or_else(|| {
            environment::config_folder()
                .map(|folder| folder.join("subrosa.toml"))
                .filter(|file| file.exists())
        });
        let Some(path) = found else {
            if Path::new("subrosa.toml").exists() {
                tracing::warn!(
                    "the subrosa.toml of the working directory is not read: name it with --config \
                     if it is yours"
                );
            }
            return Self::parse("", Path::new("."), None);
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let place = path.display().to_string();
            ConfigError::new(place, format!("the configuration cannot be read: {error}"))
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder, Some(&path))
    }

    /// Reads a configuration from its text; relative paths in it start at `folder`.
    pub fn parse(text: &str, folder: &Path, path: Option<&Path>) -> Result<Self, ConfigError> {
        let place =
            path.map_or_else(|| String::from("configuration"), |path| path.display().to_string());
        let file: file::File = parse_toml(text, &place)?;
        let reader = Reader { place, folder };
        let scopes = reader.scopes(file.scopes)?;
        Ok(Self {
            integrations: reader.integrations(file.integrations, &scopes)?,
            session: SessionRules {
                idle_timeout: file.session.idle_timeout,
                literal_credentials: file.session.literal_credentials,
                environment_fallback: file.session.environment_fallback,
            },
            lease_duration: reader.lease_duration(file.lease.duration)?,
            allowed_writes: reader.allowed_writes(file.policy.allow, &scopes)?,
            tool_servers: reader.tool_servers(file.tools)?,
            audit_file: reader.audit_file(file.audit.file)?,
            limits: reader.limits(file.limits, file.session.idle_timeout)?,
            scopes,
        })
    }

    /// The integration that stack jobs name by `credential_id`.
    pub fn integration_by_credential_id(
        &self,
        credential_id: &str,
    ) -> Option<(&IntegrationName, &Integration)> {
        self.integrations.iter().find(|(_, integration)| {
            integration.credential_ids.iter().any(|id| id == credential_id)
        })
    }

    /// The integration that assumes `role_arn`.
    pub fn integration_by_role(&self, role_arn: &str) -> Option<(&IntegrationName, &Integration)> {
        self.integrations
            .iter()
            .find(|(_, integration)| integration.role_arn.as_deref() == Some(role_arn))
    }
}

/// Reads TOML, and says file, line, column and what was meant where it cannot.
pub(crate) fn parse_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    place: &str,
) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let place = match error.span() {
            Some(span) => {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                format!("{place}:{line}:{column}")
            }
            None => place.to_owned(),
        };
        let message = parse_error::without_values(&error.message());
        let hint = parse_error::did_you_mean_field(&message);
        ConfigError::new(place, format!("{message}{hint}"))
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(path.display().to_string(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/nowhere"), Some(Path::new("subrosa.toml")))
    }

    fn complaint(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_configured_is_fine() {
        let config = parse("").unwrap();
        assert!(config.integrations.is_empty());
        assert_eq!(config.tool_servers.len(), 1);
        assert_eq!(config.lease_duration, Duration::from_mins(15));
        assert!(config.scopes.contains_key(&ScopeName::read_only()));
    }

    #[test]
    fn an_integration_is_found_by_its_credential_ids() {
        let config = parse(
            r#"
            [integrations.prod]
            provider = "aws"
            credential_ids = ["awscred-prod", "other"]
            role_arn = "arn:aws:iam::111111111111:role/AgentTriage"
            external_id = "env:EXTERNAL_ID"
            region = "us-west-2"
            base = "profile:ops"
            "#,
        )
        .unwrap();
        let (name, prod) = config.integration_by_credential_id("awscred-prod").unwrap();
        assert_eq!(name.as_str(), "prod");
        assert_eq!(prod.base, Base::Profile("ops".into()));
        assert_eq!(prod.region.as_str(), "us-west-2");
        assert_eq!(prod.scopes, [ScopeName::read_only()]);
        assert!(matches!(prod.external_id, Some(ExternalId::Reference(_))));
        assert!(config.integration_by_credential_id("awscred").is_none());
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_what_was_meant() {
        let said = complaint("[integrations.prod]\nprovider = \"aws\"\nregoin = \"us-east-1\"\n");
        assert!(said.starts_with("subrosa.toml:3:1: unknown field `regoin`"), "{said}");
        assert!(said.ends_with("did you mean `region`?"), "{said}");
        let said = complaint("[tools]\nenable = [\"esc\"]");
        assert!(said.ends_with("did you mean `ecs`?"), "{said}");
        let said = complaint("[lease]\nduration = \"5m\"");
        assert!(said.contains("15m to 1h"), "{said}");
        let said = complaint("[integrations.prod]\nprovider = \"aws\"\nscopes = [\"read-olny\"]\n");
        assert!(said.contains("did you mean `read-only`?"), "{said}");
        let said = complaint("[[policy.allow]]\naction = \"aws.ecs.*\"\nscope = \"read-only\"");
        assert!(said.contains("named exactly"), "{said}");
        let said = complaint("[integrations.x]\nprovider = \"aws\"\nrole_arn = \"AgentTriage\"");
        assert!(said.contains("is not a role"), "{said}");
        let said = complaint(
            "[integrations.a]\nprovider = \"aws\"\ncredential_ids = [\"c\"]\n\
             [integrations.b]\nprovider = \"aws\"\ncredential_ids = [\"c\"]\n",
        );
        assert!(said.contains("already belongs to integration `a`"), "{said}");
    }

    #[test]
    fn a_literal_key_in_the_file_is_refused_and_not_repeated() {
        for text in [
            "[integrations.x]\nprovider = \"aws\"\nbase = \"hunter2hunter2\"",
            "[integrations.x]\nprovider = \"aws\"\n\
             base = { access_key_id = \"env:A\", secret_access_key = \"hunter2hunter2\" }",
            "[integrations.x]\nprovider = \"aws\"\nscopes = \"hunter2hunter2\"",
            "[integrations.x]\nprovider = \"hunter2hunter2\"",
        ] {
            let said = complaint(text);
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_reference_to_a_store_that_cannot_be_read_is_no_external_id() {
        let said = complaint(
            "[integrations.x]\nprovider = \"aws\"\nexternal_id = \"vault:a#b\"\n\
             role_arn = \"arn:aws:iam::111111111111:role/R\"",
        );
        assert!(said.contains("not supported"), "{said}");
    }
}
