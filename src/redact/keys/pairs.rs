//! Names and values that stand apart: `{"name": "API_TOKEN", "value": "…"}`, in either order and
//! with members in between, the same in YAML, and what a name's object or list holds.

use std::ops::Range;

use super::Place;

/// So many members of an object are looked at between a name's member and its value's.
const MEMBERS: usize = 16;
/// So long may a line of YAML be.
const LINE: usize = 512;

impl Place<'_> {
    /// The value of `{"name": "DB_PASSWORD", "value": "…"}`, in either order.
    pub(super) fn sibling(&self, quote: u8) -> Option<Range<usize>> {
        let opening = self.name.start - 1;
        let colon = self.text.skip_space_back(opening).checked_sub(1)?;
        if self.text.byte(colon) != Some(b':') {
            return None;
        }
        let key = self.text.string_before(self.text.skip_space_back(colon), quote)?;
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
            let comma = self.text.skip_space(at);
            if self.text.byte(comma) != Some(b',') {
                return None;
            }
            let key = self.text.string_at(self.text.skip_space(comma + 1), quote)?;
            let colon = self.text.skip_space(key.end + 1);
            if self.text.byte(colon) != Some(b':') {
                return None;
            }
            let value = self.text.skip_space(colon + 1);
            if self.is_value(&key) {
                return self.value_at(value);
            }
            // A member in between: step over it.
            at = match self.text.byte(value)? {
                b'{' | b'[' => self.text.nested_end(value)?,
                _ => match self.text.string_at(value, quote) {
                    Some(string) => string.end + 1,
                    None => self.text.plain_end(value),
                },
            };
        }
        None
    }

    /// The same before the name's member.
    fn value_member_before(&self, from: usize, quote: u8) -> Option<Range<usize>> {
        let mut at = from;
        for _ in 0..MEMBERS {
            let comma = self.text.skip_space_back(at).checked_sub(1)?;
            if self.text.byte(comma) != Some(b',') {
                return None;
            }
            let end = self.text.skip_space_back(comma);
            let string = self.text.string_before(end, quote);
            let start = match &string {
                Some(string) => string.start - 1,
                None => self.text.plain_start(end),
            };
            let colon = self.text.skip_space_back(start).checked_sub(1)?;
            if self.text.byte(colon) != Some(b':') {
                return None;
            }
            let key = self.text.string_before(self.text.skip_space_back(colon), quote)?;
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
    pub(super) fn held(&self, after: usize, quote: u8) -> Vec<Range<usize>> {
        let mut strings = Vec::new();
        let colon = self.text.skip_space(after);
        let open = self.text.skip_space(colon + 1);
        match (self.text.byte(colon), self.text.byte(open)) {
            (Some(b':'), Some(b'{')) => strings.extend(self.held_in_object(open + 1, quote)),
            (Some(b':'), Some(b'[')) if !self.ends_in(&self.name, b"s") => {
                let mut at = open;
                while let Some(string) = self.text.string_at(self.text.skip_space(at + 1), quote) {
                    at = self.text.skip_space(string.end + 1);
                    strings.push(string);
                    if self.text.byte(at) != Some(b',') || strings.len() == MEMBERS {
                        break;
                    }
                }
            }
            _ => {}
        }
        strings
    }

    fn held_in_object(&self, from: usize, quote: u8) -> Option<Range<usize>> {
        let key = self.text.string_at(self.text.skip_space(from), quote)?;
        let word = self.text.get(key.clone())?;
        let wanted = [&b"s"[..], b"value", b"plaintext"];
        if !wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        let colon = self.text.skip_space(key.end + 1);
        let value = self.text.skip_space(colon + 1);
        (self.text.byte(colon) == Some(b':')).then(|| self.text.string_at(value, quote)).flatten()
    }

    /// The value in YAML, on one of the lines that follow `Name: DB_PASSWORD`.
    pub(super) fn next_line(&self) -> Option<Range<usize>> {
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
        let colon = self.text.skip_space_back(self.name.start).checked_sub(1)?;
        if self.text.byte(colon) != Some(b':')
            || !self.is_name_of_a_pair(&self.text.name_around(colon))
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
                    .value_at(self.text.skip_space(colon + 1))
                    .filter(|value| value.end <= next.end);
            }
            at = next.end + 1;
        }
        None
    }
}
