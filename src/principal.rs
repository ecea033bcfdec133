//! Who is calling.

use std::fmt;

/// The authenticated caller. Over stdio that is the operating-system user who started the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    id: String,
    name: String,
}

impl Principal {
    /// The user who runs this process; `name` is for people, the numeric user id is who it is.
    pub fn local(name: Option<String>) -> Self {
        let id = rustix::process::getuid().as_raw();
        Self { id: format!("uid:{id}"), name: name.unwrap_or_else(|| format!("uid-{id}")) }
    }

    /// A principal of a given identity, for embedding this library.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into() }
    }

    /// The name for people, as it appears in AWS session names.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}
