//! Text with its JSON escapes undone, and the way back to where it stood.
//!
//! Tools put JSON into strings of JSON, and that again into strings. One view undoes one level.
//! What was structure on a level that has been undone becomes a [`BARRIER`], so that nothing that
//! is found in a view reaches over the end of a string of the original:
//!
//! ```text
//! original  {"text":"{\"password\":\"a\\\"b\"}"}
//! view 1    {█text█:█{"password":"a\"b"}█}
//! view 2    {█text█:█{█password█:█a"b█}█}
//! ```

use std::{borrow::Cow, ops::Range};

/// Stands for a quote of an outer level. No UTF-8 text holds this byte.
pub(super) const BARRIER: u8 = 0xFF;

/// Deeper nesting than any tool makes.
pub(super) const DEEPEST: usize = 8;

pub(super) struct View<'a> {
    bytes: Cow<'a, [u8]>,
    /// For each byte, where in the original it begins, and last the original's length; `None`
    /// for the original itself.
    origins: Option<Vec<u32>>,
}

impl<'a> View<'a> {
    pub(super) fn original(text: &'a [u8]) -> Self {
        Self { bytes: Cow::Borrowed(text), origins: None }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the original a range of this view stands.
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        match &self.origins {
            None => range.clone(),
            Some(origins) => {
                let at = |index: usize| origins.get(index).copied().unwrap_or_default() as usize;
                at(range.start)..at(range.end)
            }
        }
    }

    /// The next level; `None` if there is nothing to undo.
    pub(super) fn unescaped(&self) -> Option<View<'static>> {
        let text = self.bytes();
        memchr::memchr(b'\\', text)?;
        let mut bytes = Vec::with_capacity(text.len());
        let mut origins = Vec::with_capacity(text.len() + 1);
        let mut undone = false;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let origin = self.origin_of(at);
            let mut push = |decoded: &[u8]| {
                bytes.extend_from_slice(decoded);
                origins.extend(decoded.iter().map(|_| origin));
            };
            at += match byte {
                b'"' => {
                    push(&[BARRIER]);
                    1
                }
                b'\\' => {
                    let (decoded, taken) = escape(text.get(at + 1..).unwrap_or_default());
                    undone |= taken > 0;
                    push(decoded.as_bytes());
                    taken + 1
                }
                other => {
                    push(&[other]);
                    1
                }
            };
        }
        origins.push(self.origin_of(text.len()));
        undone.then_some(View { bytes: Cow::Owned(bytes), origins: Some(origins) })
    }

    fn origin_of(&self, at: usize) -> u32 {
        // Frames are limited to far less than 4 GiB.
        u32::try_from(self.origin(&(at..at)).start).unwrap_or(u32::MAX)
    }
}

/// One escape (RFC 8259, section 7) after its backslash, and how many bytes it takes.
fn escape(rest: &[u8]) -> (Decoded, usize) {
    let short = |c| (Decoded::from(c), 1);
    match rest.first() {
        Some(b'"') => short('"'),
        Some(b'\\') => short('\\'),
        Some(b'/') => short('/'),
        Some(b'b') => short('\u{8}'),
        Some(b'f') => short('\u{c}'),
        Some(b'n') => short('\n'),
        Some(b'r') => short('\r'),
        Some(b't') => short('\t'),
        Some(b'u') => unicode(rest),
        _ => (Decoded::from('\\'), 0),
    }
}

fn unicode(rest: &[u8]) -> (Decoded, usize) {
    let unit = |digits: Option<&[u8]>| {
        let digits = std::str::from_utf8(digits?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(rest.get(1..5)) else {
        return (Decoded::from('\\'), 0);
    };
    if let Some(c) = char::from_u32(first) {
        return (Decoded::from(c), 5);
    }
    let second = match rest.get(5..7) {
        Some(b"\\u") => unit(rest.get(7..11)),
        _ => None,
    };
    match (first, second) {
        (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
            let c = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            (Decoded::from(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)), 11)
        }
        _ => (Decoded::from(char::REPLACEMENT_CHARACTER), 5),
    }
}

/// One character in UTF-8.
struct Decoded {
    buffer: [u8; 4],
    len: usize,
}

impl Decoded {
    fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl From<char> for Decoded {
    fn from(c: char) -> Self {
        let mut buffer = [0; 4];
        let len = c.encode_utf8(&mut buffer).len();
        Self { buffer, len }
    }
}

/// A range of a JSON document that begins and ends between escapes: half of one would break it.
pub(super) fn whole_escapes(text: &[u8], range: &Range<usize>) -> Range<usize> {
    let start = escape_around(text, range.start).map_or(range.start, |escape| escape.start);
    let end = escape_around(text, range.end).map_or(range.end, |escape| escape.end);
    start..end.min(text.len())
}

/// The escape that begins before `at` and ends after it.
fn escape_around(text: &[u8], at: usize) -> Option<Range<usize>> {
    // `\n` and its like have two bytes, `\u0041` six (RFC 8259, section 7).
    (1..=5.min(at)).find_map(|back| {
        let start = at - back;
        let slashes = text.get(..=start)?.iter().rev().take_while(|b| **b == b'\\').count();
        if slashes % 2 == 0 {
            return None;
        }
        let length = if text.get(start + 1) == Some(&b'u') { 6 } else { 2 };
        (length > back).then(|| start..start + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(view: &View<'_>, text: &str) -> Range<usize> {
        let start = memchr::memmem::find(view.bytes(), text.as_bytes()).unwrap();
        start..start + text.len()
    }

    #[test]
    fn levels_are_undone_one_by_one_and_lead_back() {
        let original = r#"{"text":"{\"password\":\"a\\\"b\"}"}"#;
        let first = View::original(original.as_bytes()).unescaped().unwrap();
        let range = find(&first, r#""password":"a\"b""#);
        assert_eq!(&original[first.origin(&range)], r#"\"password\":\"a\\\"b\""#);
        let second = first.unescaped().unwrap();
        let range = find(&second, "a\"b");
        assert_eq!(&original[second.origin(&range)], r#"a\\\"b"#);
        assert!(second.unescaped().is_none());
    }

    #[test]
    fn characters_by_number_are_read() {
        let original = r#""\u0041KIA \ud83d\ude00 \ud800 \u00zz \q""#;
        let view = View::original(original.as_bytes()).unescaped().unwrap();
        let range = find(&view, "AKIA");
        assert_eq!(&original[view.origin(&range)], r"\u0041KIA");
        let range = find(&view, "😀");
        assert_eq!(&original[view.origin(&range)], r"\ud83d\ude00");
        find(&view, "\u{FFFD} \\u00zz \\q");
    }

    #[test]
    fn a_quote_of_an_outer_level_stays_out_of_reach() {
        // The string ends in a backslash; undone, it must not seem to escape the closing quote.
        let original = r#"["a\\","b"]"#;
        let view = View::original(original.as_bytes()).unescaped().unwrap();
        assert!(!view.bytes().contains(&b'"'));
        assert_eq!(memchr::memchr_iter(BARRIER, view.bytes()).count(), 4);
    }
}
