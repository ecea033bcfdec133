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

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole JSON document: no string that begins in one of its strings reaches over its end.
    Json,
    /// Other text, or the contents of JSON strings, between which there are barriers.
    Text,
}

/// So many members of an object are looked at between a name's member and its value's.
const MEMBERS: usize = 16;
/// So long may each of them be, in bytes, if it is an object or a list.
const NESTED: usize = 2048;
/// So long may a line of YAML be.
const LINE: usize = 512;

/// Adds the values of all names that promise a secret. Ranges are of `text`. Whether there are any
/// such names, whose values may be told better once escapes are undone.
pub(super) fn find(text: &[u8], kind: Kind, words: &Words, edits: &mut Vec<Edit>) -> bool {
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
        let place = Place { text, kind, name, plain: &plain };
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
    kind: Kind,
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
        match quote {
            Some(quote) => {
                values.extend(self.held(after, quote));
                values.extend(self.sibling(quote));
            }
            None => values.extend(self.next_line()),
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
        number.len() >= 6 && self.says_password()
    }

    fn says_password(&self) -> bool {
        let name = self.text.get(self.name.clone()).unwrap_or_default().to_ascii_lowercase();
        let words = [&b"passw"[..], b"pwd", b"passphrase", b"_pass"];
        words.iter().any(|word| memchr::memmem::find(&name, word).is_some())
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
                if value == sign + 1 && !self.says_password() {
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
        if !self.is_name_of_a_pair(&key) {
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
            // A member in between: step over it.
            at = match self.byte(value)? {
                b'{' | b'[' => self.nested_end(value)?,
                _ => match self.string_at(value, quote) {
                    Some(string) => string.end + 1,
                    None => self.plain_end(value),
                },
            };
        }
        None
    }

    /// Where the object or list that opens here ends, if it is not too long.
    fn nested_end(&self, at: usize) -> Option<usize> {
        let (mut depth, mut string, mut escaped) = (0_usize, None, false);
        for (offset, byte) in self.text.get(at..)?.iter().take(NESTED).enumerate() {
            match (string, byte) {
                _ if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(quote), byte) if *byte == quote => string = None,
                (None, b'"' | b'\'') => string = Some(*byte),
                (None, b'{' | b'[') => depth += 1,
                (None, b'}' | b']') => depth -= 1,
                (None, &BARRIER) => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(at + offset + 1);
            }
        }
        None
    }

    /// The same before the name's member.
    fn value_member_before(&self, from: usize, quote: u8) -> Option<Range<usize>> {
        let mut at = from;
        for _ in 0..MEMBERS {
            let comma = self.skip_space_back(at).checked_sub(1)?;
            if self.byte(comma) != Some(b',') {
                return None;
            }
            let end = self.skip_space_back(comma);
            let string = self.string_before(end, quote);
            let start = match &string {
                Some(string) => string.start - 1,
                None => self.plain_start(end),
            };
            let colon = self.skip_space_back(start).checked_sub(1)?;
            if self.byte(colon) != Some(b':') {
                return None;
            }
            let key = self.string_before(self.skip_space_back(colon), quote)?;
            if self.is_value(&key) {
                return string;
            }
            at = key.start - 1;
        }
        None
    }

    /// `Name`, `key`, `ParameterKey`, `OptionName`.
    fn is_name_of_a_pair(&self, key: &Range<usize>) -> bool {
        self.ends_in(key, b"name") || self.ends_in(key, b"key")
    }

    /// `Value`, `ParameterValue`, `OutputValue`.
    fn is_value(&self, key: &Range<usize>) -> bool {
        self.ends_in(key, b"value")
    }

    fn ends_in(&self, key: &Range<usize>, end: &[u8]) -> bool {
        let key = self.text.get(key.clone()).unwrap_or_default();
        key.len()
            .checked_sub(end.len())
            .and_then(|at| key.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    }

    /// The strings that a name's object or list holds: `{"S": "…"}` as in DynamoDB, `{"value": "…"}`,
    /// `["…"]`. A list of several things, by its name, is a list of their names.
    fn held(&self, after: usize, quote: u8) -> Vec<Range<usize>> {
        let mut strings = Vec::new();
        let colon = self.skip_space(after);
        let open = self.skip_space(colon + 1);
        match (self.byte(colon), self.byte(open)) {
            (Some(b':'), Some(b'{')) => strings.extend(self.held_in_object(open + 1, quote)),
            (Some(b':'), Some(b'[')) if !self.ends_in(&self.name, b"s") => {
                let mut at = open;
                while let Some(string) = self.string_at(self.skip_space(at + 1), quote) {
                    at = self.skip_space(string.end + 1);
                    strings.push(string);
                    if self.byte(at) != Some(b',') || strings.len() == MEMBERS {
                        break;
                    }
                }
            }
            _ => {}
        }
        strings
    }

    fn held_in_object(&self, from: usize, quote: u8) -> Option<Range<usize>> {
        let key = self.string_at(self.skip_space(from), quote)?;
        let word = self.text.get(key.clone())?;
        let wanted = [&b"s"[..], b"value", b"plaintext"];
        if !wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        let colon = self.skip_space(key.end + 1);
        let value = self.skip_space(colon + 1);
        (self.byte(colon) == Some(b':')).then(|| self.string_at(value, quote)).flatten()
    }

    /// The value in YAML, on one of the lines that follow `Name: DB_PASSWORD`.
    fn next_line(&self) -> Option<Range<usize>> {
        let line = |at: usize| {
            let rest = self.text.get(at..)?;
            let length = memchr::memchr(b'\n', rest.get(..LINE.min(rest.len()))?)?;
            Some(at..at + length)
        };
        let trimmed = |range: Range<usize>| {
            let bytes = self.text.get(range.clone())?;
            let start = bytes.iter().take_while(|b| b.is_ascii_whitespace() || **b == b'-').count();
            Some(range.start + start..range.end)
        };
        let end = line(self.name.end)?;
        if !self.text.get(end.clone())?.trim_ascii().is_empty() {
            return None;
        }
        let colon = self.skip_space_back(self.name.start).checked_sub(1)?;
        if self.byte(colon) != Some(b':') || !self.is_name_of_a_pair(&name_around(self.text, colon))
        {
            return None;
        }
        let mut at = end.end + 1;
        for _ in 0..3 {
            let rest = self.text.get(at..)?;
            let next = line(at).unwrap_or(at..at + rest.len().min(LINE));
            let pair = trimmed(next.clone())?;
            let colon = memchr::memchr(b':', self.text.get(pair.clone())?);
            if let Some(colon) = colon.map(|colon| pair.start + colon)
                && self.is_value(&(pair.start..colon))
            {
                return self
                    .value_at(self.skip_space(colon + 1))
                    .filter(|value| value.end <= next.end);
            }
            at = next.end + 1;
        }
        None
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
            // Here the name's own string ends, and with it the value, which is empty.
            b'"' if self.kind == Kind::Json && self.quote() != Some(b'"') => None,
            quote @ (b'"' | b'\'') => {
                self.string_at(at, quote).or_else(|| self.unfinished_string(at, quote))
            }
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

    /// Where the plain word that ends here begins.
    fn plain_start(&self, end: usize) -> usize {
        let before = self.text.get(..end).unwrap_or_default();
        let word = |b: &&u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
        end - before.iter().rev().take(64).take_while(word).count()
    }

    /// What stands in a string that was cut off: all up to the end of what holds it.
    fn unfinished_string(&self, at: usize, quote: u8) -> Option<Range<usize>> {
        let rest = self.text.get(at + 1..)?;
        let ends = |b: &u8| self.ends_what_holds(*b, quote) || *b == b'\n';
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        Some(at + 1..at + 1 + length)
    }

    /// Whether the string in which all of this stands ends here.
    fn ends_what_holds(&self, byte: u8, quote: u8) -> bool {
        byte == BARRIER || (byte == b'"' && quote != b'"' && self.kind == Kind::Json)
    }

    /// What stands in the string that opens here.
    fn string_at(&self, at: usize, quote: u8) -> Option<Range<usize>> {
        if self.byte(at) != Some(quote) {
            return None;
        }
        let mut end = at + 1;
        loop {
            match self.byte(end)? {
                byte if self.ends_what_holds(byte, quote) => return None,
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
            if self.ends_what_holds(byte, quote) {
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
        find(text.as_bytes(), Kind::Text, &Words::find(text.as_bytes()), &mut edits);
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
            "password:s3cr3t",
            r#"{"OutputKey": "DBPassword", "OutputValue": "s3cr3t"}"#,
            r#"{"OptionName": "DB_PASSWORD", "Value": "s3cr3t"}"#,
            r#"{"value": "s3cr3t", "type": "String", "n": 3, "name": "DB_PASSWORD"}"#,
            r#"{"name": "DB_PASSWORD", "tags": [{"a": "]"}, 1], "value": "s3cr3t"}"#,
            r#"{"password": {"S": "s3cr3t"}}"#,
            r#"{"DB_PASSWORD": { "value" : "s3cr3t"}}"#,
            r#"{"password": ["s3cr3t"]}"#,
            "Environment:\n  - Name: DB_PASSWORD\n    Value: s3cr3t\n  - Name: X",
            "- Name: DB_PASSWORD\n  Type: x\n  Value: s3cr3t",
            r#"{"PreSharedKey": "s3cr3t"}"#,
            "<pre_shared_key>s3cr3t</pre_shared_key>",
            "ENCRYPTION_KEY=s3cr3t",
            "JWT_SIGNING_KEY=s3cr3t",
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
            r#"{"secrets": ["db-password", "api-token"], "name": "x", "value": "y"}"#,
            "Name: DB_PASSWORD\nOther: x\n",
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
