//! Random names.

use std::fmt::Write as _;

/// `prefix` and 128 random bits in hexadecimal.
pub fn random(prefix: &str) -> String {
    let mut text = String::from(prefix);
    for byte in random_bytes::<16>() {
        let _ = write!(text, "{byte:02x}");
    }
    text
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
