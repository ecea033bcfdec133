//! Starts a tool server: its environment built from empty, its home a private empty folder.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    endpoint::Endpoint,
    manifest::{self, Manifest},
    process::{Pipes, Process},
};
use crate::{
    config::environment,
    lease::{Delivery, Lease},
    name::ServerName,
};

/// A tool server that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program is not there.
    #[error("tool server `{server}` cannot be started: `{command}` {hint}")]
    NotFound {
        /// The tool server.
        server: ServerName,
        /// The program.
        command: String,
        /// What to do.
        hint: String,
    },
    /// Something else is in the way.
    #[error(
        "tool server `{server}` cannot be started: `{command}`: {error}; it must be a program that \
         may be executed"
    )]
    Io {
        /// The tool server.
        server: ServerName,
        /// The program.
        command: String,
        /// What.
        error: io::Error,
    },
}

/// A tool server that was started.
pub(super) struct Launched {
    pub(super) process: Process,
    pub(super) pipes: Pipes,
    pub(super) endpoint: Option<Endpoint>,
}

/// Starts tool servers.
pub(super) struct Launcher<'a> {
    /// They end when this is cancelled.
    pub(super) over: &'a CancellationToken,
    /// Knows what is still to be ended.
    pub(super) tasks: &'a TaskTracker,
}

impl Launcher<'_> {
    /// Starts a tool server with a lease, or with no credentials at all.
    pub(super) async fn launch(
        &self,
        manifest: &Manifest,
        may_write: bool,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Launched, LaunchError> {
        let failed = |error| LaunchError::Io {
            server: manifest.name.clone(),
            command: manifest.command().to_owned(),
            error,
        };
        let program = find(manifest)?;
        let home = TempDir::with_prefix("subrosa-").map_err(failed)?;
        let mut environment = plain_environment(manifest, may_write, home.path());
        // With a lease or without: it finds no other credentials.
        put(&mut environment, NO_OTHER_CREDENTIALS);
        let mut endpoint = None;
        if let (Some(needs), Some(lease)) = (manifest.credentials(), lease) {
            let region = lease.request().region.as_str();
            put(&mut environment, [("AWS_REGION", region), ("AWS_DEFAULT_REGION", region)]);
            match needs.delivery {
                Delivery::Endpoint => {
                    let started =
                        Endpoint::start(Arc::clone(lease), self.over).await.map_err(failed)?;
                    point_at(&mut environment, &started);
                    endpoint = Some(started);
                }
                Delivery::Environment => put_keys(&mut environment, lease),
            }
        }
        #[expect(clippy::disallowed_methods, reason = "this is the lawful place")]
        let mut command = Command::new(program);
        command.args(manifest.args()).env_clear().envs(environment).current_dir(home.path());
        let end = self.over.child_token();
        // The endpoint ends with the process, and not when somebody notices.
        let keep = (home, endpoint.as_ref().map(Endpoint::guard));
        let (process, pipes) =
            Process::spawn(&mut command, end, self.tasks, keep).map_err(failed)?;
        Ok(Launched { process, pipes, endpoint })
    }
}

type Environment = BTreeMap<OsString, OsString>;

fn plain_environment(manifest: &Manifest, may_write: bool, home: &Path) -> Environment {
    let mut environment = Environment::new();
    for name in environment::names() {
        if manifest.inherit().iter().any(|pattern| manifest::matches(pattern, &name))
            && let Some(value) = environment::variable(&name)
        {
            environment.insert(name.into(), value);
        }
    }
    environment.retain(|name, _| !name.to_str().is_some_and(names_credentials));
    for (name, value) in manifest.env(may_write) {
        environment.insert(name.into(), environment::expand_home(value).into_os_string());
    }
    for name in ["HOME", "TMPDIR"] {
        environment.insert(name.into(), home.into());
    }
    environment
}

/// Whether a variable gives or leads to credentials of the server's own (AWS SDKs and Tools
/// Reference Guide, "Environment variables list"). No allow-list of a manifest lets it through.
fn names_credentials(name: &str) -> bool {
    const EXACT: [&str; 12] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_CREDENTIAL_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
    ];
    EXACT.contains(&name) || name.starts_with("AWS_CONTAINER_") || name.starts_with("AWS_BEARER_")
}

/// Where an AWS SDK must not look: the machine's own role, and the user's own files.
const NO_OTHER_CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_CONFIG_FILE", "/dev/null"),
];

fn put<'a>(environment: &mut Environment, variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
    environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
}

fn point_at(environment: &mut Environment, endpoint: &Endpoint) {
    #[expect(clippy::disallowed_methods, reason = "the child shows it to the endpoint")]
    let token = endpoint.token().expose_secret();
    environment.insert("AWS_CONTAINER_CREDENTIALS_FULL_URI".into(), endpoint.uri().into());
    environment.insert("AWS_CONTAINER_AUTHORIZATION_TOKEN".into(), token.into());
    // A proxy for the outside must not be asked for what is on this machine.
    for name in ["NO_PROXY", "no_proxy"] {
        let mut hosts = environment.remove(&OsString::from(name)).unwrap_or_default();
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push("127.0.0.1");
        environment.insert(name.into(), hosts);
    }
}

fn put_keys(environment: &mut Environment, lease: &Lease) {
    let keys = lease.keys();
    environment.insert("AWS_ACCESS_KEY_ID".into(), (&*keys.access_key_id).into());
    #[expect(clippy::disallowed_methods, reason = "the operator chose delivery by environment")]
    {
        let secret = keys.secret_access_key.expose_secret();
        environment.insert("AWS_SECRET_ACCESS_KEY".into(), secret.into());
        if let Some(token) = &keys.session_token {
            environment.insert("AWS_SESSION_TOKEN".into(), token.expose_secret().into());
        }
    }
}

/// The program's path. Looked up here, because a program that is not there must be told from a
/// file that it misses.
fn find(manifest: &Manifest) -> Result<PathBuf, LaunchError> {
    let command = Path::new(manifest.command());
    let found = if command.is_absolute() {
        Some(command.to_path_buf()).filter(|path| path.is_file())
    } else {
        let path = environment::variable("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(command)).find(|path| path.is_file())
    };
    found.ok_or_else(|| LaunchError::NotFound {
        server: manifest.name.clone(),
        command: manifest.command().to_owned(),
        hint: match (command.is_absolute(), manifest.install()) {
            (true, _) => String::from("does not exist: correct `command` in its manifest"),
            (false, Some(install)) => {
                format!("was not found on the PATH of subrosa; {install}")
            }
            (false, None) => String::from(
                "was not found on the PATH of subrosa; install it, or give its full path in \
                 tools.override",
            ),
        },
    })
}
