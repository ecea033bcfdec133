//! Random names, and bytes as text.

use std::fmt::{self, Write as _};

/// Names a session. It is no secret and opens nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    /// One that nobody has.
    pub fn random() -> Self {
        Self(random("ses_"))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `prefix` and 128 random bits in hexadecimal.
pub fn random(prefix: &str) -> String {
    format!("{prefix}{}", hex(&random_bytes::<16>()))
}

/// Bytes in hexadecimal, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from the operating system's generator.
///
/// # Panics
///
/// If the operating system has no randomness to give, without which nothing is safe.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without randomness there is no safe way on")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
