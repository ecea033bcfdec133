//! Looking for secrets.

use base64::{Engine as _, engine::general_purpose};

/// Fails if any of the secrets stands in the text in a form that a reader could undo. Written
/// apart from the redactor, so that the two do not share a mistake.
#[track_caller]
pub fn assert_none_of(secrets: &[&str], text: &str, place: &str) {
    let plain = text.replace("\\/", "/").replace("\\\"", "\"");
    for secret in secrets {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![(*secret).to_owned(), hex.to_uppercase(), hex];
        let quoted: String = secret
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", c as u32) }
            })
            .collect();
        forms.push(quoted);
        for shift in 0..3 {
            for engine in [general_purpose::STANDARD_NO_PAD, general_purpose::URL_SAFE_NO_PAD] {
                let encoded = engine.encode(format!("{}{secret}", "x".repeat(shift)));
                forms.push(encoded.chars().skip(4).take(encoded.len().saturating_sub(8)).collect());
            }
        }
        for form in forms.iter().filter(|form| form.len() >= 6) {
            assert!(
                !text.contains(form.as_str()) && !plain.contains(form.as_str()),
                "secret {secret:?} stands in {place} as {form:?}: {text}"
            );
        }
    }
}
