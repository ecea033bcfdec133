//! The process's environment and the folders that follow from it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::secret::{Secret, SecretRef};

/// A variable of the server's own environment, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the lawful place")]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The same as text; a value that is not UTF-8 counts as unset.
pub fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok()
}

/// The names of all variables, for allow-lists that end in `*`.
#[expect(clippy::disallowed_methods, reason = "this is the lawful place")]
pub fn names() -> Vec<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// A secret reference that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "secret reference `{0}` cannot be read: the variable is not set in the server's environment"
)]
pub struct UnreadableSecret(SecretRef);

/// Reads what a secret reference names.
pub fn secret(reference: &SecretRef) -> Result<Secret, UnreadableSecret> {
    let SecretRef::Environment(name) = reference;
    text(name).map(Secret::new).ok_or_else(|| UnreadableSecret(reference.clone()))
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// A path that may begin with `~/`, the user's own home.
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// A program as a file in `folder` names it: a relative path starts there, a bare name is looked
/// for on the PATH.
pub fn program_in(folder: &Path, command: &str) -> String {
    let path = expand_home(command);
    if !command.contains('/') {
        return command.to_owned();
    }
    let path = folder.join(path);
    std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned()
}

/// A folder of the XDG Base Directory Specification, ours below it.
fn xdg(variable_name: &str, below_home: &str) -> Option<PathBuf> {
    variable(variable_name)
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| home().map(|home| home.join(below_home)))
        .map(|folder| folder.join("subrosa"))
}

/// Where the user's configuration lies.
pub fn config_folder() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config")
}

/// Where what must outlive a run lies: the audit log.
pub fn state_folder() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}

/// Where what can be made again lies: the demo's Python environment.
pub fn cache_folder() -> Option<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache")
}
