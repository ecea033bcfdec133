//! Finds secrets by their own form: keys of known vendors, private keys, JSON web tokens, and
//! passwords in URLs.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};

use super::Edit;

/// What to call it, a literal without which it cannot stand there, and its form. What is blotted
/// out is the group, or all of it.
const PATTERNS: [(&str, &str, &str); 20] = [
    ("aws access key id", "AKIA", r"\b(?:AKIA)[A-Z2-7]{16}\b"),
    ("aws access key id", "ASIA", r"\b(?:ASIA)[A-Z2-7]{16}\b"),
    ("aws session token", "IQoJ", r"\bIQoJb3JpZ2lu[A-Za-z0-9+/=_-]{50,}"),
    ("aws session token", "FwoG", r"\bFwoGZXIvYXdz[A-Za-z0-9+/=_-]{50,}"),
    (
        "aws signature",
        "X-Amz-",
        r"(?i)X-Amz-(?:Signature|Security-Token|Credential)=([^&\s\x22\\\xFF]+)",
    ),
    (
        "private key",
        "-----BEGIN",
        r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s:,.-]*?(?:-----END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    (
        "password in a url",
        "://",
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^/\s:@\x22'\\\xFF]{0,200}:([^@/\s\x22'\\\xFF]{1,500})@",
    ),
    (
        "json web token",
        "eyJ",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    ),
    ("github token", "gh", r"\bgh[opsur]_[0-9A-Za-z]{30,255}\b"),
    ("github token", "github_pat_", r"\bgithub_pat_[0-9A-Za-z_]{30,255}\b"),
    ("gitlab token", "glpat-", r"\bglpat-[0-9A-Za-z_-]{20,}"),
    ("slack token", "xox", r"\bxox[abeprs]-[0-9A-Za-z-]{10,}"),
    ("api key", "sk-", r"\bsk-[A-Za-z0-9_-]{20,}"),
    ("stripe key", "_live_", r"\b[rs]k_live_[0-9A-Za-z]{10,}"),
    ("stripe key", "_test_", r"\b[rs]k_test_[0-9A-Za-z]{10,}"),
    ("google api key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("google access token", "ya29.", r"\bya29\.[0-9A-Za-z_-]{20,}"),
    ("vault token", "hvs.", r"\bhvs\.[0-9A-Za-z_-]{20,}"),
    ("hugging face token", "hf_", r"\bhf_[0-9A-Za-z]{30,}"),
    ("npm token", "npm_", r"\bnpm_[0-9A-Za-z]{36}\b"),
];

struct Patterns {
    literals: AhoCorasick,
    rules: Vec<(&'static str, Regex)>,
}

static COMPILED: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let rules = PATTERNS
        .iter()
        .map(|(label, _, form)| {
            RegexBuilder::new(form).unicode(false).build().ok().map(|regex| (*label, regex))
        })
        .collect::<Option<_>>()?;
    let literals = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(PATTERNS.iter().map(|(_, literal, _)| literal))
        .ok()?;
    Some(Patterns { literals, rules })
});

/// Whether anything in the text is worth a closer look.
pub(super) fn promise(text: &[u8]) -> bool {
    COMPILED.as_ref().is_none_or(|patterns| patterns.literals.is_match(text))
}

/// Adds the places of all forms.
pub(super) fn find(text: &[u8], edits: &mut Vec<Edit>) {
    let Some(patterns) = COMPILED.as_ref() else {
        return;
    };
    let mut present = [false; PATTERNS.len()];
    for literal in patterns.literals.find_overlapping_iter(text) {
        if let Some(present) = present.get_mut(literal.pattern().as_usize()) {
            *present = true;
        }
    }
    for ((label, regex), _) in patterns.rules.iter().zip(present).filter(|(_, present)| *present) {
        for captures in regex.captures_iter(text) {
            if let Some(found) = captures.get(1).or_else(|| captures.get(0)) {
                edits.push(Edit { range: found.range(), label });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blotted(text: &str) -> Vec<(&'static str, &str)> {
        let mut edits = Vec::new();
        find(text.as_bytes(), &mut edits);
        edits.into_iter().map(|edit| (edit.label, &text[edit.range])).collect()
    }

    #[test]
    fn every_form_compiles() {
        assert!(COMPILED.is_some());
    }

    #[test]
    fn secrets_are_found_by_their_form() {
        let token = format!("ghp_{}", "a1".repeat(18));
        assert_eq!(blotted(&format!("x {token} y")), [("github token", &*token)]);
        assert_eq!(
            blotted("dsn postgres://app:hunter2@db:5432/x?y"),
            [("password in a url", "hunter2")]
        );
        assert_eq!(blotted("redis://:hunter2@cache"), [("password in a url", "hunter2")]);
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n/+=\n-----END RSA PRIVATE KEY-----";
        assert_eq!(blotted(&format!("a {key} b")), [("private key", key)]);
        let cut = "-----BEGIN PRIVATE KEY-----\nMIIE";
        assert_eq!(blotted(cut), [("private key", cut)]);
        assert_eq!(
            blotted("?X-Amz-Signature=abc&x-amz-security-token=def"),
            [("aws signature", "abc"), ("aws signature", "def")]
        );
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
