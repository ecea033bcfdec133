//! The forms in which a tool may print a secret.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose};
use zeroize::Zeroizing;

use crate::ids;

/// The secret as it is, URL-encoded, in hexadecimal and in base64. Escapes of JSON need no form of
/// their own: the redactor undoes them.
pub(super) fn encodings(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    // All but the unreserved characters (RFC 3986, section 2.1); the slash left as it is, as Python's
    // `quote` does; and every byte.
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    for upper in [true, false] {
        forms.push(percent(bytes, upper, unreserved));
        forms.push(percent(bytes, upper, |b| unreserved(b) || b == b'/'));
        forms.push(percent(bytes, upper, |_| false));
    }
    let hex = ids::hex(bytes);
    forms.push(hex.to_ascii_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    for alignment in 0..3 {
        forms.push(base64_core(bytes, alignment, &general_purpose::STANDARD_NO_PAD));
        forms.push(base64_core(bytes, alignment, &general_purpose::URL_SAFE_NO_PAD));
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

fn percent(bytes: &[u8], upper: bool, plain: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        let _ = match (plain(byte), upper) {
            (true, _) => write!(text, "{}", char::from(byte)),
            (false, true) => write!(text, "%{byte:02X}"),
            (false, false) => write!(text, "%{byte:02x}"),
        };
    }
    text.into_bytes()
}

/// The characters that do not change with what stands around the secret, when it starts at byte
/// `alignment` (modulo 3) of a longer text that is encoded as a whole.
fn base64_core(
    bytes: &[u8],
    alignment: usize,
    engine: &general_purpose::GeneralPurpose,
) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; alignment]);
    padded.extend_from_slice(bytes);
    let mut encoded = engine.encode(&*padded).into_bytes();
    // Characters that also hold bits of a neighbour.
    encoded.truncate(padded.len() / 3 * 4);
    let mixed = [0, 2, 3].get(alignment).copied().unwrap_or_default();
    encoded.drain(..mixed.min(encoded.len()));
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(secret: &str, text: &[u8]) -> bool {
        encodings(secret)
            .iter()
            .any(|form| form.len() >= 8 && memchr::memmem::find(text, form).is_some())
    }

    #[test]
    fn each_form_is_found_where_it_stands() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert!(found(secret, format!("key={secret}").as_bytes()));
        assert!(found(secret, b"?k=wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCYEXAMPLEKEY&x"));
        assert!(found(secret, b"?k=wJalrXUtnFEMI/K7MDENG%2BbPxRfiCYEXAMPLEKEY&x"));
        assert!(found(secret, b"?k=wJalrXUtnFEMI%2fK7MDENG%2bbPxRfiCYEXAMPLEKEY&x"));
        assert!(found(secret, ids::hex(secret.as_bytes()).to_ascii_uppercase().as_bytes()));
        assert!(found(secret, ids::hex(secret.as_bytes()).as_bytes()));
    }

    #[test]
    fn base64_is_found_at_every_place_in_a_longer_text() {
        // The second one has the characters in which the two alphabets differ, wherever it stands.
        let tildes = "~~~???>>>~~~???>>>~~~???>>>";
        for secret in ["wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", tildes] {
            for before in 0..7 {
                let text = format!("{}{secret} and more", "x".repeat(before));
                for engine in [general_purpose::STANDARD, general_purpose::URL_SAFE] {
                    let encoded = engine.encode(&text);
                    assert!(found(secret, encoded.as_bytes()), "{before}: {encoded}");
                }
            }
        }
    }
}
