//! A secret, and a reference to one.
//!
//! [`Secret`] cannot be cloned, printed or serialised, and is wiped when it is dropped, so a log
//! line, an error or a reply that holds one does not compile:
//!
//! ```compile_fail
//! let secret = subrosa::secret::Secret::new(String::from("s3cr3t"));
//! println!("{secret}");
//! ```
//! ```compile_fail
//! let secret = subrosa::secret::Secret::new(String::from("s3cr3t"));
//! serde_json::to_string(&secret).unwrap();
//! ```

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroize;

/// Text that must never leave except as the last step before a wire that is meant to carry it.
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over; the buffer it came in is wiped.
    pub fn new(mut text: String) -> Self {
        // Not `into_boxed_str`: shrinking may move the text and leave the old copy behind.
        let boxed: Box<str> = text.as_str().into();
        text.zeroize();
        Self(SecretString::from(boxed))
    }

    /// The text itself. `clippy.toml` bans this outside of the few places that write it to a wire.
    #[expect(clippy::disallowed_methods, reason = "the box is opened here only")]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    /// Its length, in bytes.
    #[expect(clippy::disallowed_methods, reason = "tells only how long it is")]
    pub fn len(&self) -> usize {
        self.expose_secret().len()
    }

    /// Whether there is any text.
    #[expect(clippy::disallowed_methods, reason = "tells only whether it is empty")]
    pub fn is_empty(&self) -> bool {
        self.expose_secret().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(SecretString::from(text)))
            }
            fn visit_string<E>(self, text: String) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }
        }
        deserializer.deserialize_string(Text)
    }
}

/// Where a secret is kept: `env:NAME`. The reference is no secret and may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// A variable of the server's own environment.
    Environment(String),
}

/// A text that is no secret reference.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a secret reference: it has the form `env:NAME`, where NAME is an environment variable"
)]
pub struct InvalidSecretRef;

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Environment(name.to_owned()))
            }
            // The text is not repeated: who writes a literal here by mistake has written a secret.
            _ => Err(InvalidSecretRef),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_a_fixed_word() {
        let secret = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([secret])");
    }

    #[test]
    fn a_reference_is_read_and_a_literal_is_refused_without_repeating_it() {
        assert_eq!("env:KEY".parse::<SecretRef>().unwrap().to_string(), "env:KEY");
        for wrong in ["", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", "vault:x#y"] {
            let message = wrong.parse::<SecretRef>().unwrap_err().to_string();
            assert!(wrong.is_empty() || !message.contains(wrong), "{message}");
        }
    }
}
