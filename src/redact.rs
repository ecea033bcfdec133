//! The redactor: between every tool and the client. Nothing else makes a [`Redacted`], and
//! nothing else can be sent.
//!
//! ```compile_fail
//! fn skip(reply: subrosa::call::Reply) -> subrosa::redact::Redacted<subrosa::call::Reply> {
//!     subrosa::redact::Redacted { value: reply, redactions: 0 }
//! }
//! ```
//!
//! It works on bytes. A reply in which nothing looks like a secret goes on as the bytes that
//! came; only where something was found are its JSON escapes undone, level by level.

mod cursor;
mod encodings;
mod exact;
mod keys;
mod names;
mod patterns;
mod view;
mod words;

use std::{
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use self::{cursor::Kind, exact::ExactSecrets, view::View, words::Words};
use crate::{
    call::{RawReply, Reply},
    secret::Secret,
};

pub(crate) use self::names::promises_a_secret;

/// Knows the secrets of one session, and takes them out of whatever a tool says.
#[derive(Default)]
pub struct Redactor {
    exact: RwLock<Arc<ExactSecrets>>,
}

/// What has been through the redactor.
#[derive(Clone, Debug)]
pub struct Redacted<T> {
    value: T,
    redactions: usize,
}

impl<T> Redacted<T> {
    /// What is left.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// What is left.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// How many places were blotted out.
    pub fn redactions(&self) -> usize {
        self.redactions
    }
}

/// A place to blot out, and what to call it.
struct Edit {
    range: Range<usize>,
    label: &'static str,
    /// Whether it is a JSON number, which what stands in its place is not.
    unquoted: bool,
    /// Whether what stands there is a secret by the structure around it, wherever it comes again.
    lasting: bool,
}

/// So many secrets that were found by their names are looked for without them.
const NAMED: usize = 64;

/// Said instead of a reply that could not be redacted without breaking it.
const WITHHELD: &str = "The reply was withheld: it holds a secret in a place where it cannot be \
                        taken out without breaking the reply.";

impl Redactor {
    /// Remembers a secret, to be found again in any form. False if it is too short (under 8
    /// characters) to be told from ordinary text.
    pub fn learn(&self, label: &'static str, secret: &Secret) -> bool {
        self.learn_until(label, secret, None)
    }

    /// The same for a secret that ends: some time after `until` it is no secret any more.
    pub fn learn_until(
        &self,
        label: &'static str,
        secret: &Secret,
        until: Option<SystemTime>,
    ) -> bool {
        #[expect(clippy::disallowed_methods, reason = "what is to be found must be known")]
        let secret = secret.expose_secret();
        let mut exact = self.exact.write().unwrap_or_else(PoisonError::into_inner);
        match exact.with(label, secret, until) {
            Some(more) => {
                *exact = Arc::new(more);
                true
            }
            None => false,
        }
    }

    /// Remembers the value of something whose name promises a secret, if that cannot be mistaken
    /// for ordinary text: it may come again without its name, in a log line for instance.
    pub fn learn_named(&self, name: &str, value: &str) {
        if names::is_secret(name, value) && names::is_unmistakable(value.as_bytes()) {
            self.learn_values(&[Zeroizing::new(value.as_bytes().to_vec())]);
        }
    }

    fn learn_values(&self, values: &[Zeroizing<Vec<u8>>]) {
        for value in values {
            let mut exact = self.exact.write().unwrap_or_else(PoisonError::into_inner);
            if !exact.knows(value) && exact.count(keys::LABEL) < NAMED {
                *exact = Arc::new(exact.with_plain(keys::LABEL, value));
            }
        }
    }

    /// One that knows of the secrets of `other` those that end by themselves, and not yet: leases,
    /// which AWS accepts to their end, whoever has cleared what.
    pub fn after(other: &Self) -> Self {
        let exact = other.exact.read().unwrap_or_else(PoisonError::into_inner).that_live_on();
        Self { exact: RwLock::new(Arc::new(exact)) }
    }

    /// Takes the secrets out of a reply.
    pub fn reply(&self, raw: RawReply) -> Redacted<Reply> {
        let reply = raw.into_untrusted();
        let (json, redactions) = self.clean(reply.json(), Kind::Json);
        let Some(json) = json else {
            return Redacted { value: reply, redactions };
        };
        if serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_err() {
            let withheld = RawReply::error(WITHHELD).into_untrusted();
            return Redacted { value: withheld, redactions };
        }
        let value = match reply {
            Reply::Result { is_error, typed, .. } => Reply::Result { json, is_error, typed },
            Reply::Error(_) => Reply::Error(json),
        };
        Redacted { value, redactions }
    }

    /// Takes the secrets out of text.
    pub fn text(&self, text: &str) -> Redacted<String> {
        match self.clean(text.as_bytes(), Kind::Text) {
            (None, redactions) => Redacted { value: text.to_owned(), redactions },
            (Some(clean), redactions) => {
                Redacted { value: String::from_utf8_lossy(&clean).into_owned(), redactions }
            }
        }
    }

    /// Takes the secrets out of a value; `None` if it cannot be read again afterwards.
    pub fn value<T: Serialize + DeserializeOwned>(&self, value: T) -> Option<Redacted<T>> {
        let json = serde_json::to_vec(&value).ok()?;
        match self.clean(&json, Kind::Json) {
            (None, redactions) => Some(Redacted { value, redactions }),
            (Some(clean), redactions) => {
                serde_json::from_slice(&clean).ok().map(|value| Redacted { value, redactions })
            }
        }
    }

    /// The text without its secrets, or `None` if there are none in it.
    fn clean(&self, text: &[u8], kind: Kind) -> (Option<Bytes>, usize) {
        let exact = Arc::clone(&self.exact.read().unwrap_or_else(PoisonError::into_inner));
        let mut values = Vec::new();
        let mut edits = edits(&exact, text, kind, &mut values);
        if kind == Kind::Json {
            for edit in &mut edits {
                edit.range = view::whole_escapes(text, &edit.range);
            }
        }
        let edits = merged(edits);
        self.learn_values(&values);
        if edits.is_empty() {
            return (None, 0);
        }
        let mut clean = Vec::with_capacity(text.len() + edits.len() * 32);
        let mut at = 0;
        for edit in &edits {
            clean.extend_from_slice(text.get(at..edit.range.start).unwrap_or_default());
            let quote = if edit.unquoted { "\"" } else { "" };
            for part in [quote, "[redacted: ", edit.label, "]", quote] {
                clean.extend_from_slice(part.as_bytes());
            }
            at = edit.range.end;
        }
        clean.extend_from_slice(text.get(at..).unwrap_or_default());
        (Some(clean.into()), edits.len())
    }
}

/// Finds what is to be blotted out, and the values that were found by their names.
fn edits(
    exact: &ExactSecrets,
    text: &[u8],
    kind: Kind,
    values: &mut Vec<Zeroizing<Vec<u8>>>,
) -> Vec<Edit> {
    let mut edits = Vec::new();
    let more = find(exact, text, kind, &mut edits);
    values.extend(named(&edits, text));
    // `\u0041` and `\/` can hide anything; other escapes only what is known to hold such characters.
    let hidden = || {
        memchr::memmem::find(text, b"\\u").is_some() || memchr::memmem::find(text, b"\\/").is_some()
    };
    if edits.is_empty() && !more && !exact.escapable() && !hidden() {
        return edits;
    }
    let mut view = View::original(text);
    for _ in 0..view::DEEPEST {
        let Some(deeper) = view.unescaped() else {
            break;
        };
        view = deeper;
        let mut found = Vec::new();
        find(exact, view.bytes(), Kind::Text, &mut found);
        values.extend(named(&found, view.bytes()));
        edits.extend(found.into_iter().map(|edit| Edit {
            range: view.origin(&edit.range),
            label: edit.label,
            // A quote would need as many escapes as the level is deep.
            unquoted: false,
            lasting: edit.lasting,
        }));
    }
    edits
}

/// The values among the edits of a level that were found by their names.
fn named(edits: &[Edit], text: &[u8]) -> impl Iterator<Item = Zeroizing<Vec<u8>>> {
    let mut end = 0;
    edits
        .iter()
        .filter(|edit| edit.lasting)
        // Of values that overlap only the first, which holds the others.
        .filter(move |edit| std::mem::replace(&mut end, edit.range.end) != edit.range.end)
        .filter_map(|edit| text.get(edit.range.clone()))
        .filter(|value| names::is_unmistakable(value))
        .take(NAMED)
        .map(|value| Zeroizing::new(value.to_vec()))
}

/// Adds what stands on one level. Whether there may be more once its escapes are undone.
fn find(exact: &ExactSecrets, text: &[u8], kind: Kind, edits: &mut Vec<Edit>) -> bool {
    exact.find(text, edits);
    let words = Words::find(text);
    let patterns = patterns::find(text, words.patterns, edits);
    let names = keys::find(text, kind, &words, edits);
    patterns || names
}

/// In order, overlapping ones as one. An exact find comes first and names the whole.
fn merged(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.retain(|edit| !edit.range.is_empty());
    edits.sort_by_key(|edit| edit.range.start);
    let mut merged: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        match merged.last_mut() {
            Some(last) if edit.range.start < last.range.end => {
                last.range.end = last.range.end.max(edit.range.end);
            }
            _ => merged.push(edit),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
