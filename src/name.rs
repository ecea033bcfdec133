//! The names that a configuration gives to things, and their one form.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer};

/// A text that cannot be a name.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is not a name: 1 to 32 lower-case letters, digits and single hyphens, starting with \
     a letter"
)]
pub struct InvalidName {
    text: String,
}

fn is_name(text: &str) -> bool {
    // Underscores stay out: `<server>__<tool>` must split in one way only.
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { text: text.chars().take(40).collect() })
                }
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $Name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A configured account or role that credentials come from, as in `[integrations.prod]`.
    IntegrationName
}
name! {
    /// A named limit of what a lease may do, as in `[scopes.ecs-operator]`.
    ScopeName
}
name! {
    /// A tool server, as in `tools/ecs.toml`; also the prefix of its tools.
    ServerName
}

impl ScopeName {
    /// The scope that is built in: looking, and nothing else.
    pub fn read_only() -> Self {
        Self("read-only".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for good in ["a", "ecs", "aws-api", "prod2"] {
            assert!(good.parse::<ServerName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "a__b", "a--b", "a-", "-a", "2a", "a b", "a/b", "é"] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
        assert!("a".repeat(33).parse::<ServerName>().is_err());
    }
}
