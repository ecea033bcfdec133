//! Finds secrets by their own form: keys of known vendors, private keys, JSON web tokens, and
//! passwords in URLs.

use std::{ops::Range, sync::LazyLock};

use regex::bytes::{Regex, RegexBuilder};

use super::Edit;

/// A form of secret.
pub(super) struct Pattern {
    label: &'static str,
    /// One of these, in any case, stands in every secret of this form.
    pub(super) literals: &'static [&'static str],
    /// What is blotted out is the group, or all of it.
    form: &'static str,
}

const fn pattern(
    label: &'static str,
    literals: &'static [&'static str],
    form: &'static str,
) -> Pattern {
    Pattern { label, literals, form }
}

#[rustfmt::skip]
pub(super) const PATTERNS: [Pattern; 20] = [
    pattern("aws access key id", &["AKIA"],
        r"(?:\b|\\[bfnrt])((?:AKIA)[A-Z2-7]{16}\b)"),
    pattern("aws access key id", &["ASIA"],
        r"(?:\b|\\[bfnrt])((?:ASIA)[A-Z2-7]{16}\b)"),
    pattern("aws session token", &["IQoJ"],
        r"(?:\b|\\[bfnrt])(IQoJb3JpZ2lu[A-Za-z0-9+/=_-]{50,})"),
    pattern("aws session token", &["FwoG"],
        r"(?:\b|\\[bfnrt])(FwoGZXIvYXdz[A-Za-z0-9+/=_-]{50,})"),
    pattern("aws signature", &["X-Amz-"],
        r"(?i)X-Amz-(?:Signature|Security-Token|Credential)=([^&\s\x22\\\xFF]+)"),
    pattern("private key", &["-----BEGIN"],
        r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s:,.-]*?(?:-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)"),
    pattern("password in a url", &["://"],
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^/\s:@\x22'\\\xFF]{0,200}:([^\d/\s\x22'\\\xFF][^\s\x22'\\\xFF]{0,500}|[^@/\s\x22'\\\xFF]{1,500})@"),
    pattern("json web token", &["eyJ"],
        r"(?:\b|\\[bfnrt])(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"),
    pattern("github token", &["ghp_", "gho_", "ghs_", "ghu_", "ghr_"],
        r"(?:\b|\\[bfnrt])(gh[opsur]_[0-9A-Za-z]{30,255}\b)"),
    pattern("github token", &["github_pat_"],
        r"(?:\b|\\[bfnrt])(github_pat_[0-9A-Za-z_]{30,255}\b)"),
    pattern("gitlab token", &["glpat-"],
        r"(?:\b|\\[bfnrt])(glpat-[0-9A-Za-z_-]{20,})"),
    pattern("slack token", &["xox"],
        r"(?:\b|\\[bfnrt])(xox[abeprs]-[0-9A-Za-z-]{10,})"),
    pattern("api key", &["sk-"],
        r"(?:\b|\\[bfnrt])(sk-[A-Za-z0-9_-]{20,})"),
    pattern("stripe key", &["_live_"],
        r"(?:\b|\\[bfnrt])([rs]k_live_[0-9A-Za-z]{10,})"),
    pattern("stripe key", &["_test_"],
        r"(?:\b|\\[bfnrt])([rs]k_test_[0-9A-Za-z]{10,})"),
    pattern("google api key", &["AIza"],
        r"(?:\b|\\[bfnrt])(AIza[0-9A-Za-z_-]{35})"),
    pattern("google access token", &["ya29."],
        r"(?:\b|\\[bfnrt])(ya29\.[0-9A-Za-z_-]{20,})"),
    pattern("vault token", &["hvs."],
        r"(?:\b|\\[bfnrt])(hvs\.[0-9A-Za-z_-]{20,})"),
    pattern("hugging face token", &["hf_"],
        r"(?:\b|\\[bfnrt])(hf_[0-9A-Za-z]{30,})"),
    pattern("npm token", &["npm_"],
        r"(?:\b|\\[bfnrt])(npm_[0-9A-Za-z]{36}\b)"),
];

/// A private key with all that stands between its lines is shorter than this.
const LONGEST_KEY: usize = 32 << 10;
/// A piece of base64 of this length is taken for one of its lines.
const KEY_LINE: usize = 20;

/// A private key has lines, which JSON writes with escapes; all other forms stand as they are in
/// escaped text too, but that `\n` and its like may come before them.
const OF_SEVERAL_LINES: &str = "private key";

static RULES: LazyLock<Option<Vec<Regex>>> = LazyLock::new(|| {
    let rule = |pattern: &Pattern| RegexBuilder::new(pattern.form).unicode(false).build().ok();
    PATTERNS.iter().map(rule).collect()
});

/// Adds the places of the forms of which a literal is `present`. Whether there may be more once escapes are undone.
pub(super) fn find(text: &[u8], present: [bool; PATTERNS.len()], edits: &mut Vec<Edit>) -> bool {
    let Some(rules) = RULES.as_ref() else {
        return true; // never so, as a test shows
    };
    let mut more = false;
    let present = PATTERNS.iter().zip(rules).zip(present).filter(|(_, present)| *present);
    for ((pattern, rule), _) in present {
        more |= pattern.label == OF_SEVERAL_LINES;
        let edit = |range| Edit { range, label: pattern.label, unquoted: false, lasting: false };
        for captures in rule.captures_iter(text) {
            if let Some(found) = captures.get(1).or_else(|| captures.get(0)) {
                edits.push(edit(found.range()));
            }
        }
        if pattern.label == OF_SEVERAL_LINES {
            edits.extend(lines_of_keys(text).map(edit));
        }
    }
    more
}

/// The lines of private keys that stand apart, as log events do: from the first line to the last,
/// whatever looks like base64.
fn lines_of_keys(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut done = 0;
    let keys = memchr::memmem::find_iter(text, b"PRIVATE KEY").filter_map(move |begin| {
        let before = text.get(begin.saturating_sub(40)..begin)?;
        if begin < done || memchr::memmem::rfind(before, b"-----BEGIN").is_none() {
            return None;
        }
        let rest = text.get(begin..(begin + LONGEST_KEY).min(text.len()))?;
        let length = memchr::memmem::find(rest, b"-----END").unwrap_or(rest.len());
        done = begin + length;
        Some((begin, rest.get(..length)?))
    });
    keys.flat_map(|(begin, key)| {
        let mut at = 0;
        key.split(|b| !b.is_ascii_alphanumeric() && !b"+/=".contains(b)).filter_map(move |piece| {
            let start = at;
            at += piece.len() + 1;
            (piece.len() >= KEY_LINE).then(|| begin + start..begin + start + piece.len())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{super::words::Words, *};

    fn blotted(text: &str) -> Vec<(&'static str, &str)> {
        let mut edits = Vec::new();
        find(text.as_bytes(), Words::find(text.as_bytes()).patterns, &mut edits);
        edits.into_iter().map(|edit| (edit.label, &text[edit.range])).collect()
    }

    #[test]
    fn every_form_compiles() {
        assert!(RULES.is_some());
    }

    #[test]
    fn secrets_are_found_by_their_form() {
        let token = format!("ghp_{}", "a1".repeat(18));
        assert_eq!(blotted(&format!("x {token} y")), [("github token", &*token)]);
        assert_eq!(
            blotted("dsn postgres://app:hunter2@db:5432/x?y"),
            [("password in a url", "hunter2")]
        );
        for password in ["hunter2", "hun/ter2", "h@nter/2", "4711"] {
            assert_eq!(
                blotted(&format!("redis://:{password}@cache x")),
                [("password in a url", password)]
            );
        }
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n/+=\n-----END RSA PRIVATE KEY-----";
        assert_eq!(blotted(&format!("a {key} b")), [("private key", key)]);
        let cut = "-----BEGIN PRIVATE KEY-----\nMIIE";
        assert_eq!(blotted(cut), [("private key", cut)]);
        let id = "AKIAIOSFODNN7EXAMPLE";
        assert_eq!(blotted(&format!(r"keys:\n{id}\n")), [("aws access key id", id)]);
        assert_eq!(
            blotted("?X-Amz-Signature=abc&x-amz-security-token=def"),
            [("aws signature", "abc"), ("aws signature", "def")]
        );
    }

    #[test]
    fn the_lines_of_a_key_are_found_where_they_stand_apart() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let last = "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SupFqfsH=";
        let events = format!(
            r#"[{{"at":1,"m":"-----BEGIN PRIVATE KEY-----"}},{{"at":2,"m":"{line}"}},{{"at":3,"m":"{last}"}},{{"at":4,"m":"-----END PRIVATE KEY-----"}},{{"m":"{line}"}}]"#
        );
        let found: Vec<&str> = blotted(&events).into_iter().map(|(_, text)| text).collect();
        assert!(found.contains(&line) && found.contains(&last), "{found:?}");
        assert_eq!(found.iter().filter(|text| **text == line).count(), 1, "not after its end");
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            "arn:aws:ecs:us-east-1:123456789012:task/prod/0123456789abcdef0123456789abcdef",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "https://example.com:8080/path@x http://a.b/c:d@e",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1.2",
        ] {
            assert_eq!(blotted(text), [], "{text}");
        }
    }
}
