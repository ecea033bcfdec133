//! What a name promises, and what a value must be to be a secret.

/// Parts of names that promise a secret.
pub(super) const WORDS: [&str; 29] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api-key",
    "api_key",
    "accesskey",
    "access-key",
    "access_key",
    "privatekey",
    "private-key",
    "private_key",
    "authorization",
    "sharedkey",
    "shared-key",
    "shared_key",
    "signingkey",
    "signing_key",
    "encryptionkey",
    "encryption_key",
    "authkey",
    "auth_key",
    "streamkey",
    "connectionstring",
    "connection_string",
];

/// Names that hold such a word and no secret: they end in one of these, whatever the case.
const HARMLESS: [&str; 50] = [
    "days",
    "hours",
    "minutes",
    "seconds",
    "size",
    "limit",
    "tokenizer",
    "maxtokens",
    "mintokens",
    "totaltokens",
    "usedtokens",
    "passed",
    "arn",
    "id",
    "ids",
    "name",
    "names",
    "type",
    "version",
    "versions",
    "file",
    "path",
    "count",
    "length",
    "enabled",
    "required",
    "policy",
    "expiry",
    "expiration",
    "expires",
    "expiresat",
    "expiresin",
    "ttl",
    "rotation",
    "lastchanged",
    "lastused",
    "createdate",
    "status",
    "url",
    "endpoint",
    "issuer",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "continuationtoken",
    "clienttoken",
    "clientrequesttoken",
    "forwardtoken",
    "backwardtoken",
    "startingtoken",
];

/// Whether what a name stands for may be a secret.
pub(crate) fn promises_a_secret(name: &str) -> bool {
    promises(name.as_bytes())
}

/// Whether the value of a name is to be blotted out.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    promises(name.as_bytes()) && holds_a_secret(value.as_bytes())
}

/// A secret that was found by its name and is longer is not looked for without it.
const LONGEST: usize = 256;

/// What generators make secrets of. Quotes, brackets and the like would let a log line choose what
/// of a JSON reply is taken for a secret.
fn is_of_a_secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&*+-./=@^_~".contains(&byte)
}

/// Whether a secret is so unlike ordinary text that it can be looked for wherever it stands, also
/// without its name.
pub(super) fn is_unmistakable(value: &[u8]) -> bool {
    if !(12..=LONGEST).contains(&value.len()) || !value.iter().all(|b| is_of_a_secret(*b)) {
        return false;
    }
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let kinds: [fn(&u8) -> bool; 4] = [
        u8::is_ascii_lowercase,
        u8::is_ascii_uppercase,
        u8::is_ascii_digit,
        // Names and paths are made with the others.
        |b| b.is_ascii_punctuation() && !b"-_./".contains(b),
    ];
    let mixed = kinds.iter().filter(|kind| count(**kind) > 0).count();
    let plain = value.iter().all(u8::is_ascii_alphanumeric);
    // An ECS task's id, among others.
    let is_id = value.len() == 32 && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let repeats = value.chunks(4).skip(1).all(|piece| value.starts_with(piece));
    !repeats
        && !is_id
        && (mixed >= 3
            || (mixed == 2 && plain && value.len() >= 20 && count(u8::is_ascii_digit) >= 5))
}

pub(super) fn is_number(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b))
}

pub(super) fn promises(name: &[u8]) -> bool {
    let (cased, name) = (name, name.to_ascii_lowercase());
    let holds = |word: &&str| memchr::memmem::find(&name, word.as_bytes()).is_some();
    let ends_in_pass = name.ends_with(b"pass") && !name.ends_with(b"bypass");
    (WORDS.iter().any(holds) || ends_in_pass) && !is_harmless(cased)
}

/// Whether a name ends in one of the harmless endings, and that as a word of its own: after a
/// separator, with a capital, or right after the word that promises.
fn is_harmless(name: &[u8]) -> bool {
    let letters: Vec<usize> =
        (0..name.len()).filter(|at| name.get(*at).is_some_and(u8::is_ascii_alphanumeric)).collect();
    let plain: Vec<u8> =
        letters.iter().filter_map(|at| name.get(*at)).map(u8::to_ascii_lowercase).collect();
    HARMLESS.iter().any(|end| {
        let Some(before) = plain.strip_suffix(end.as_bytes()) else { return false };
        let Some(&start) = letters.get(before.len()) else { return false };
        let first = name.get(start).copied().unwrap_or_default();
        let previous = start.checked_sub(1).and_then(|at| name.get(at)).copied();
        previous.is_none_or(|byte| {
            !byte.is_ascii_alphanumeric()
                || (first.is_ascii_uppercase() && !byte.is_ascii_uppercase())
        }) || WORDS.iter().any(|word| before.ends_with(word.as_bytes()))
    })
}

/// What a value must look like to be blotted out: not empty, not a word that means nothing, not a
/// name of where the secret is kept, and not blotted out already.
pub(super) fn holds_a_secret(value: &[u8]) -> bool {
    /// They mean nothing.
    const EMPTY: [&[u8]; 12] = [
        b"",
        b"null",
        b"none",
        b"true",
        b"false",
        b"expired",
        b"invalid",
        b"missing",
        b"required",
        b"undefined",
        b"nil",
        b"empty",
    ];
    let trimmed = value.trim_ascii();
    // `${DB_PASSWORD}` and `{{password}}` say where the secret is, not what.
    let refers = [&b"${"[..], b"$(", b"{{"].iter().any(|start| trimmed.starts_with(start));
    // A whole ARN, which has 2,048 characters at most, names one as well.
    let names_it = trimmed.starts_with(b"arn:aws")
        && trimmed.len() <= 2048
        && !trimmed.iter().any(u8::is_ascii_whitespace);
    !EMPTY.iter().any(|word| trimmed.eq_ignore_ascii_case(word))
        && !refers
        && !names_it
        && !trimmed.starts_with(b"[redacted")
        && !trimmed.starts_with(b"[REDACTED")
        && !trimmed.iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_ordinary_text_is_not_looked_for_by_itself() {
        for secret in ["Xk29fLmQ71vB", "p4ss!word-of-db", "0123456789abcdef0123", "hunter2Hunter2"]
        {
            assert!(is_unmistakable(secret.as_bytes()), "{secret}");
        }
        for ordinary in [
            "hunter2",
            "acme-prod-cluster-1",
            "123456789012",
            "arn:aws:iam::123456789012:role/x",
            "eu-west-1.compute.internal",
            "two words And 1 number",
            "\"isError\":false",
            "\"inputSchema\":{\"",
            "Aa1!Aa1!Aa1!Aa1!",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(!is_unmistakable(ordinary.as_bytes()), "{ordinary}");
        }
    }
}
