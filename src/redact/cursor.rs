//! Steps through a text: over white space, words, strings, and what is nested.

use std::{cell::Cell, ops::Range, slice::SliceIndex};

use super::view::BARRIER;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole JSON document: no string that begins in one of its strings reaches over its end.
    Json,
    /// Other text, or the contents of JSON strings, between which there are barriers.
    Text,
}

/// An object or a list is stepped over if it is not longer than this, in bytes.
const NESTED: usize = 2048;
/// A text, and where one is in it.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) kind: Kind,
    /// The start and end of the last plain word: names may stand in it that have the same end.
    plain: Cell<(usize, usize)>,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], kind: Kind) -> Self {
        Self { bytes, kind, plain: Cell::new((0, 0)) }
    }

    pub(super) fn get<I: SliceIndex<[u8]>>(&self, at: I) -> Option<&'a I::Output> {
        self.bytes.get(at)
    }

    /// The name that stands around a place.
    pub(super) fn name_around(&self, at: usize) -> Range<usize> {
        let (before, after) = self.bytes.split_at(at);
        let back = before.iter().rev().take_while(|b| is_name(**b)).count();
        let forth = after.iter().take_while(|b| is_name(**b)).count();
        at - back..at + forth
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(super) fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.byte(at))
    }

    pub(super) fn skip_space(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
    }

    pub(super) fn skip_space_back(&self, at: usize) -> usize {
        let before = self.bytes.get(..at).unwrap_or_default();
        at - before.iter().rev().take_while(|b| b.is_ascii_whitespace()).count()
    }

    /// Where the object or list that opens here ends, if it is not too long.
    pub(super) fn nested_end(&self, at: usize) -> Option<usize> {
        let (mut depth, mut string, mut escaped) = (0_usize, None, false);
        for (offset, byte) in self.bytes.get(at..)?.iter().take(NESTED).enumerate() {
            match (string, byte) {
                (_, &BARRIER) => return None,
                _ if escaped => escaped = false,
                (Some(_), b'\\') => escaped = true,
                (Some(quote), byte) if *byte == quote => string = None,
                (None, b'"' | b'\'') => string = Some(*byte),
                (None, b'{' | b'[') => depth += 1,
                (None, b'}' | b']') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(at + offset + 1);
            }
        }
        None
    }

    pub(super) fn plain_end(&self, at: usize) -> usize {
        let (start, end) = self.plain.get();
        if (start..end).contains(&at) {
            return end;
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
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
    pub(super) fn plain_start(&self, end: usize) -> usize {
        let before = self.bytes.get(..end).unwrap_or_default();
        let word = |b: &&u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
        end - before.iter().rev().take(64).take_while(word).count()
    }

    /// What stands in a string that was cut off: all up to the end of what holds it.
    pub(super) fn unfinished_string(&self, at: usize, quote: u8) -> Option<Range<usize>> {
        let rest = self.bytes.get(at + 1..)?;
        let mut length = 0;
        while let Some(&byte) = rest.get(length) {
            if self.ends_what_holds(byte, quote) || byte == b'\n' {
                break;
            }
            let escapes = byte == b'\\' && rest.get(length + 1) != Some(&BARRIER);
            length += 1 + usize::from(escapes);
        }
        Some(at + 1..at + 1 + length.min(rest.len()))
    }

    /// Whether the string in which all of this stands ends here.
    pub(super) fn ends_what_holds(&self, byte: u8, quote: u8) -> bool {
        byte == BARRIER || (byte == b'"' && quote != b'"' && self.kind == Kind::Json)
    }

    /// What stands in the string that opens here.
    pub(super) fn string_at(&self, at: usize, quote: u8) -> Option<Range<usize>> {
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
    pub(super) fn string_before(&self, end: usize, quote: u8) -> Option<Range<usize>> {
        let closing = end.checked_sub(1)?;
        if self.byte(closing) != Some(quote) {
            return None;
        }
        let before = self.bytes.get(..closing)?;
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
