//! Finds secrets by what they are called: `"SecretAccessKey": "…"`, `DB_PASSWORD=…`,
//! `{"name": "API_TOKEN", "value": "…"}`, `--password …`, `<SessionToken>…</SessionToken>`.

use std::{cell::Cell, ops::Range};

use super::{
    Edit,
    names::{holds_a_secret, is_number, promises},
    view::BARRIER,
    words::Words,
};

/// What is found by its name is called.
pub(super) const LABEL: &str = "secret value";

/// So many members of an object are looked at between a name's member and its value's.
const MEMBERS: usize = 16;

/// Adds the values of all names that promise a secret. Ranges are of `text`. Whether there are any
/// such names, whose values may be told better once escapes are undone.
pub(super) fn find(text: &[u8], words: &Words, edits: &mut Vec<Edit>) -> bool {
    let mut more = false;
    let mut done = 0;
    let plain = Cell::new((0, 0));
    for &word in &words.names {
        if word < done {
            continue; // a second word of the same name, or of its value
        }
        let name = name_around(text, word);
        done = name.end;
        if !promises(text.get(name.clone()).unwrap_or_default()) {
            continue;
        }
        more = true;
        let place = Place { text, name, plain: &plain };
        for value in place.values() {
            let bytes = text.get(value.clone()).unwrap_or_default();
            let number = place.is_bare(&value) && is_number(bytes);
            if holds_a_secret(bytes) && (!number || place.may_be_a_number(bytes)) {
                edits.push(Edit { range: value, label: LABEL, unquoted: number });
            }
        }
    }
    more
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn name_around(text: &[u8], at: usize) -> Range<usize> {
    let (before, after) = text.split_at(at);
    let back = before.iter().rev().take_while(|b| is_name(**b)).count();
    let forth = after.iter().take_while(|b| is_name(**b)).count();
    at - back..at + forth
}

/// A name that promises a secret, in its surroundings.
struct Place<'a> {
    text: &'a [u8],
    name: Range<usize>,
    /// The start and end of the last unquoted value: names may stand in it that have the same end.
    plain: &'a Cell<(usize, usize)>,
}

impl Place<'_> {
    fn values(&self) -> Vec<Range<usize>> {
        let quote = self.quote();
        let after = self.name.end + usize::from(quote.is_some());
        let mut values = Vec::new();
        values.extend(self.assigned(after, quote.is_some()));
        if let Some(quote) = quote {
            values.extend(self.sibling(quote));
        }
        values.extend(self.flag(after, quote));
        values.extend(self.element());
        values
    }

    /// Whether a value of a quoted name stands without quotes, as a number does.
    fn is_bare(&self, value: &Range<usize>) -> bool {
        self.quote().is_some() && self.before(value.start) != self.quote()
    }

    /// `"maxTokens": 4096` is no secret, and nor is `"PasswordReusePrevention": 24`.
    fn may_be_a_number(&self, number: &[u8]) -> bool {
        let name = self.text.get(self.name.clone()).unwrap_or_default().to_ascii_lowercase();
        let words = [&b"passw"[..], b"pwd", b"passphrase"];
        number.len() >= 6 && words.iter().any(|word| memchr::memmem::find(&name, word).is_some())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.byte(at))
    }

    fn skip_space(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
    }

    fn skip_space_back(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        at - before.iter().rev().take_while(|b| b.is_ascii_whitespace()).count()
    }

    /// The quote that the name stands in.
    fn quote(&self) -> Option<u8> {
        let quote = self.byte(self.name.end).filter(|b| matches!(b, b'"' | b'\''))?;
        (self.before(self.name.start) == Some(quote)).then_some(quote)
    }

    /// `"name": value`, `name=value`, `name: value`.
    fn assigned(&self, after: usize, quoted: bool) -> Option<Range<usize>> {
        let sign = self.skip_space(after);
        let value = match self.byte(sign)? {
            b'=' => {
                // `==` and `=>` as well
                let rest = self.text.get(sign..).unwrap_or_default();
                let signs = rest.iter().take_while(|b| matches!(b, b'=' | b'>')).count();
                self.skip_space(sign + signs)
            }
            b':' if quoted => self.skip_space(sign + 1),
            // Without a quote a space must follow: `secretsmanager:GetSecretValue` is an action.
            b':' => {
                let value = self.skip_space(sign + 1);
                if value == sign + 1 {
                    return None;
                }
                value
            }
            _ => return None,
        };
        self.value_at(value)
    }

    /// The value of `{"name": "DB_PASSWORD", "value": "…"}`, in either order.
    fn sibling(&self, quote: u8) -> Option<Range<usize>> {
        let opening = self.name.start - 1;
        let colon = self.skip_space_back(opening).checked_sub(1)?;
        if self.byte(colon) != Some(b':') {
            return None;
        }
        let key = self.string_before(self.skip_space_back(colon), quote)?;
        let is = |range: &Range<usize>, names: &[&[u8]]| {
            let key = self.text.get(range.clone()).unwrap_or_default();
            names.iter().any(|name| key.eq_ignore_ascii_case(name))
        };
        if !is(&key, &[b"name", b"key", b"parametername", b"parameterkey"]) {
            return None;
        }
        self.value_member_after(self.name.end + 1, quote)
            .or_else(|| self.value_member_before(key.start - 1, quote))
    }

    /// The string value of the member `value`, further on in the same object.
    fn value_member_after(&self, from: usize, quote: u8) -> Option<Range<usize>> {
        let mut at = from;
        for _ in 0..MEMBERS {
            let comma = self.skip_space(at);
            if self.byte(comma) != Some(b',') {
                return None;
            }
            let key = self.string_at(self.skip_space(comma + 1), quote)?;
            let colon = self.skip_space(key.end + 1);
            if self.byte(colon) != Some(b':') {
                return None;
            }
            let value = self.skip_space(colon + 1);
            if self.is_value(&key) {
                return self.value_at(value);
            }
            // A member in between: step over it if it is a string or a plain word.
            at = match self.string_at(value, quote) {
                Some(string) => string.end + 1,
                None => self.plain_end(value),
            };
        }
        None
    }

    /// The same, right before the name's member.
    fn value_member_before(&self, member: usize, quote: u8) -> Option<Range<usize>> {
        let comma = self.skip_space_back(member).checked_sub(1)?;
        if self.byte(comma) != Some(b',') {
            return None;
        }
        let value = self.string_before(self.skip_space_back(comma), quote)?;
        let colon = self.skip_space_back(value.start - 1).checked_sub(1)?;
        if self.byte(colon) != Some(b':') {
            return None;
        }
        let key = self.string_before(self.skip_space_back(colon), quote)?;
        self.is_value(&key).then_some(value)
    }

    fn is_value(&self, key: &Range<usize>) -> bool {
        let key = self.text.get(key.clone()).unwrap_or_default();
        key.eq_ignore_ascii_case(b"value") || key.eq_ignore_ascii_case(b"parametervalue")
    }

    /// `--password value`, and `"--password", "value"` in a list.
    fn flag(&self, after: usize, quote: Option<u8>) -> Option<Range<usize>> {
        if self.byte(self.name.start) != Some(b'-') {
            return None;
        }
        match quote {
            Some(quote) => {
                let comma = self.skip_space(after);
                if self.byte(comma) != Some(b',') {
                    return None;
                }
                self.string_at(self.skip_space(comma + 1), quote)
            }
            None => {
                let value = self.skip_space(after);
                let starts = self.byte(value).is_some_and(|b| b != b'-' && b != b'=');
                (value > after && starts).then(|| self.value_at(value)).flatten()
            }
        }
    }

    /// `<Name>value</Name>`.
    fn element(&self) -> Option<Range<usize>> {
        if self.before(self.name.start) != Some(b'<') || self.byte(self.name.end) != Some(b'>') {
            return None;
        }
        let start = self.name.end + 1;
        let rest = self.text.get(start..)?;
        let len = rest.iter().position(|b| matches!(b, b'<' | b'"' | &BARRIER))?;
        Some(start..start + len)
    }

    /// The value that begins here, quoted or not.
    fn value_at(&self, at: usize) -> Option<Range<usize>> {
        match self.byte(at)? {
            quote @ (b'"' | b'\'') => self.string_at(at, quote),
            b'{' | b'[' => None,
            _ => {
                let end = self.plain_end(at);
                let value = self.text.get(at..end)?;
                // The credential of an HTTP header follows its scheme.
                let scheme = [&b"bearer"[..], b"basic", b"token", b"aws4-hmac-sha256"];
                if scheme.iter().any(|scheme| value.eq_ignore_ascii_case(scheme)) {
                    let start = self.skip_space(end);
                    return Some(start..self.plain_end(start));
                }
                Some(at..end)
            }
        }
    }

    fn plain_end(&self, at: usize) -> usize {
        let (start, end) = self.plain.get();
        if (start..end).contains(&at) {
            return end;
        }
        let rest = self.text.get(at..).unwrap_or_default();
        let ends = |b: &u8| {
            b.is_ascii_whitespace()
                || matches!(
                    b,
                    b'"' | b'\'' | b'\\' | b',' | b';' | b'&' | b')' | b']' | b'}' | b'<'
                )
                || *b == BARRIER
        };
        let end = at + rest.iter().position(ends).unwrap_or(rest.len());
        self.plain.set((at, end));
        end
    }

    /// What stands in the string that opens here.
    fn string_at(&self, at: usize, quote: u8) -> Option<Range<usize>> {
        if self.byte(at) != Some(quote) {
            return None;
        }
        let mut end = at + 1;
        loop {
            match self.byte(end)? {
                BARRIER => return None,
                b'\\' => end += 2,
                byte if byte == quote => return Some(at + 1..end),
                _ => end += 1,
            }
        }
    }

    /// What stands in the string whose closing quote is the byte before `end`.
    fn string_before(&self, end: usize, quote: u8) -> Option<Range<usize>> {
        let closing = end.checked_sub(1)?;
        if self.byte(closing) != Some(quote) {
            return None;
        }
        let before = self.text.get(..closing)?;
        let mut start = closing;
        while let Some(byte) = self.before(start) {
            if byte == BARRIER {
                return None;
            }
            if byte == quote {
                let escapes =
                    before.get(..start - 1)?.iter().rev().take_while(|b| **b == b'\\').count();
                if escapes % 2 == 0 {
                    return Some(start..closing);
                }
            }
            start -= 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blotted(text: &str) -> Vec<&str> {
        let mut edits = Vec::new();
        find(text.as_bytes(), &Words::find(text.as_bytes()), &mut edits);
        edits.into_iter().map(|edit| &text[edit.range]).collect()
    }

    #[test]
    fn values_are_found_by_the_names_of_their_keys() {
        for text in [
            r#"{"SecretAccessKey": "s3cr3t"}"#,
            r#"{"secret_access_key" : "s3cr3t", "x": 1}"#,
            "{'SessionToken': 's3cr3t'}",
            r#"{"name":"DB_PASSWORD","value":"s3cr3t"}"#,
            r#"{"value":"s3cr3t","name":"DB_PASSWORD"}"#,
            r#"{"Key" : "api-key" , "type":"String", "n": 3, "Value" : "s3cr3t"}"#,
            "{'name': 'DB_PASSWORD', 'value': 's3cr3t'}",
            "DB_PASSWORD=s3cr3t",
            "connect with password=s3cr3t; retry",
            "db.password: s3cr3t",
            "run --token=s3cr3t --x",
            "run --db-password s3cr3t --x",
            r#"["run","--token","s3cr3t"]"#,
            r#"["run","--token=s3cr3t"]"#,
            "<SecretAccessKey>s3cr3t</SecretAccessKey>",
            "Authorization: Bearer s3cr3t",
            r#"{"Authorization": "s3cr3t"}"#,
            "https://x/?access_token=s3cr3t&y=1",
            "AUTH_TOKEN=s3cr3t",
            "DB_PASS=s3cr3t",
        ] {
            assert_eq!(blotted(text), ["s3cr3t"], "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            r#"{"nextToken": "abc", "NextForwardToken": "f/1"}"#,
            r#"{"secretArn": "x", "SecretId": "y", "secretName": "z", "AccessKeyId": "AKIA"}"#,
            r#"{"name":"DB_SECRET_ARN","value":"arn:aws:secretsmanager:us-east-1:1:secret:db"}"#,
            r#"{"name":"P","valueFrom":"arn:aws:secretsmanager:us-east-1:1:secret:db/pw-a1"}"#,
            "is not authorized to perform: secretsmanager:GetSecretValue on resource: x",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:db/pw-AbCdEf",
            "password authentication failed for user \"app\"",
            r#"{"password": null, "token": {"type": "string"}, "secrets": []}"#,
            r#"{"password": "[redacted: secret value]", "token": "****"}"#,
            r#"{"checks_passed": "12 of 12", "bypass": "x"}"#,
            "failed to fetch secret arn:aws:secretsmanager:us-east-1:1:secret:x",
            r#"{"maxTokens": 4096, "tokensUsed":123456789, "PasswordReusePrevention": 24}"#,
        ] {
            assert_eq!(blotted(text), Vec::<&str>::new(), "{text}");
        }
        assert_eq!(blotted(r#"{"db_password": 20240817}"#), ["20240817"]);
        assert_eq!(blotted("token=123456"), ["123456"]);
    }
}
