//! Finds secrets by what they are called: `"SecretAccessKey": "…"`, `DB_PASSWORD=…`,
//! `{"name": "API_TOKEN", "value": "…"}`, `--password …`, `<SessionToken>…</SessionToken>`.

mod pairs;

use std::ops::Range;

use super::{
    Edit,
    cursor::{Cursor, Kind},
    names::{holds_a_secret, is_number, promises},
    view::BARRIER,
    words::Words,
};

/// What is found by its name is called.
pub(super) const LABEL: &str = "secret value";

/// Adds the values of all names that promise a secret. Ranges are of `text`. Whether there are any
/// such names, whose values may be told better once escapes are undone.
pub(super) fn find(text: &[u8], kind: Kind, words: &Words, edits: &mut Vec<Edit>) -> bool {
    let mut more = false;
    let mut done = 0;
    let text = Cursor::new(text, kind);
    for &word in &words.names {
        if word < done {
            continue; // a second word of the same name, or of its value
        }
        let name = text.name_around(word);
        done = name.end;
        if !promises(text.get(name.clone()).unwrap_or_default()) {
            continue;
        }
        more = true;
        let place = Place { text: &text, name };
        for value in place.values() {
            let bytes = text.get(value.clone()).unwrap_or_default();
            let number = place.is_bare(&value) && is_number(bytes);
            if holds_a_secret(bytes) && (!number || place.may_be_a_number(bytes)) {
                // What a log line says must not choose what is looked for afterwards.
                let lasting = place.quote().is_some();
                edits.push(Edit { range: value, label: LABEL, unquoted: number, lasting });
            }
        }
    }
    more
}

/// A name that promises a secret, in its surroundings.
struct Place<'a> {
    text: &'a Cursor<'a>,
    name: Range<usize>,
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
        self.quote().is_some() && self.text.before(value.start) != self.quote()
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

    /// The quote that the name stands in.
    fn quote(&self) -> Option<u8> {
        let quote = self.text.byte(self.name.end).filter(|b| matches!(b, b'"' | b'\''))?;
        (self.text.before(self.name.start) == Some(quote)).then_some(quote)
    }

    /// `"name": value`, `name=value`, `name: value`.
    fn assigned(&self, after: usize, quoted: bool) -> Option<Range<usize>> {
        let sign = self.text.skip_space(after);
        let value = match self.text.byte(sign)? {
            b'=' => {
                // `==` and `=>` as well
                let rest = self.text.get(sign..).unwrap_or_default();
                let signs = rest.iter().take_while(|b| matches!(b, b'=' | b'>')).count();
                self.text.skip_space(sign + signs)
            }
            b':' if quoted => self.text.skip_space(sign + 1),
            // Without a quote a space must follow: `secretsmanager:GetSecretValue` is an action.
            b':' => {
                let value = self.text.skip_space(sign + 1);
                if !self.says_password() && (value == sign + 1 || self.is_prose(value)) {
                    return None;
                }
                value
            }
            _ => return None,
        };
        self.value_at(value)
    }

    /// Whether a sentence goes on here, as in `ExpiredToken: The security token …`: a plain word, or
    /// a short number, with another behind it on the same line.
    fn is_prose(&self, at: usize) -> bool {
        let rest = self.text.get(at..).unwrap_or_default();
        let count = |is: fn(&u8) -> bool| rest.iter().take(16).take_while(|b| is(b)).count();
        let (letters, digits) = (count(u8::is_ascii_alphabetic), count(u8::is_ascii_digit));
        let word = rest.get(..letters).unwrap_or_default();
        let is_word =
            ((1..=14).contains(&letters) && !is_scheme(word)) || (1..=3).contains(&digits);
        let behind = rest.get(letters.max(digits)..).unwrap_or_default();
        let goes_on = |bytes: &[u8]| matches!(bytes, [b' ' | b'\'', next, ..] if next.is_ascii_alphanumeric());
        is_word && goes_on(behind)
    }

    /// `--password value`, and `"--password", "value"` in a list.
    fn flag(&self, after: usize, quote: Option<u8>) -> Option<Range<usize>> {
        if self.text.byte(self.name.start) != Some(b'-') {
            return None;
        }
        match quote {
            Some(quote) => {
                let comma = self.text.skip_space(after);
                if self.text.byte(comma) != Some(b',') {
                    return None;
                }
                self.text.string_at(self.text.skip_space(comma + 1), quote)
            }
            None => {
                let value = self.text.skip_space(after);
                let starts = self.text.byte(value).is_some_and(|b| b != b'-' && b != b'=');
                (value > after && starts).then(|| self.value_at(value)).flatten()
            }
        }
    }

    /// `<Name>value</Name>`.
    fn element(&self) -> Option<Range<usize>> {
        if self.text.before(self.name.start) != Some(b'<')
            || self.text.byte(self.name.end) != Some(b'>')
        {
            return None;
        }
        let start = self.name.end + 1;
        let rest = self.text.get(start..)?;
        let len = rest.iter().position(|b| matches!(b, b'<' | b'"' | b'\\' | &BARRIER))?;
        (rest.get(len) == Some(&b'<')).then_some(start..start + len)
    }

    /// The value that begins here, quoted or not.
    fn value_at(&self, at: usize) -> Option<Range<usize>> {
        match self.text.byte(at)? {
            // Here the name's own string ends, and with it the value, which is empty.
            b'"' if self.text.kind == Kind::Json && self.quote() != Some(b'"') => None,
            quote @ (b'"' | b'\'') => {
                self.text.string_at(at, quote).or_else(|| self.text.unfinished_string(at, quote))
            }
            b'{' | b'[' => None,
            _ => {
                let end = self.text.plain_end(at);
                let value = self.text.get(at..end)?;
                // The credential of an HTTP header follows its scheme.
                if is_scheme(value) {
                    let start = self.text.skip_space(end);
                    return Some(start..self.text.plain_end(start));
                }
                Some(at..end)
            }
        }
    }
}

/// Whether a word is the scheme of an HTTP authorization (RFC 9110, section 11.1).
fn is_scheme(word: &[u8]) -> bool {
    let schemes = [&b"bearer"[..], b"basic", b"token", b"aws4-hmac-sha256"];
    schemes.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
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
            "SMTP_LIVE_PASS=s3cr3t",
            "zendesk-pass=s3cr3t",
            "dbPass=s3cr3t",
            "API_KEY_ANDROID=s3cr3t",
            "DB_PASSWORD_SERVICE_ACCOUNT=s3cr3t",
            "password:s3cr3t",
            "password: s3cr3t and more",
            "token: s3cr3t and more",
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
            "AWS could not be reached for sts:GetFederationToken: check the network",
            "ExpiredTokenException: The provided token has expired",
            "InvalidIdentityToken: Couldn't retrieve verification key",
            "calling GetAuthorizationToken: 403 Forbidden",
            "secret: not found",
            "token=expired",
            "password: ${DB_PASSWORD}",
            r#"{"name":"MAX_TOKENS","value":"4096"}"#,
            "SECRET_ROTATION_DAYS=30 TOKENIZER=bpe-large-v2",
            "failed to fetch secret arn:aws:secretsmanager:us-east-1:1:secret:x",
            r#"{"maxTokens": 4096, "tokensUsed":123456789, "PasswordReusePrevention": 24}"#,
        ] {
            assert_eq!(blotted(text), Vec::<&str>::new(), "{text}");
        }
        assert_eq!(blotted(r#"{"db_password": 20240817}"#), ["20240817"]);
        assert_eq!(blotted("token=123456"), ["123456"]);
    }
}
