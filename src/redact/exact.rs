//! Finds the secrets that a session was given.
//!
//! A secret of 16 characters or more is found by any run of 16 of them, so that a piece of one is
//! caught too. The text is looked at only at every ninth place: a run of 16 has nine windows of
//! eight bytes, and one of them stands at such a place. A bitmap answers nearly all of them.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use zeroize::{Zeroize, Zeroizing};

use super::{Edit, encodings::encodings};
use crate::clock;

const WINDOW: usize = 8;
/// The shortest piece of a secret that counts.
const RUN: usize = 16;
const STRIDE: usize = RUN - WINDOW + 1;
/// Of equal windows so many are tried: leases of one role begin alike, and a secret may repeat
/// itself.
const SAME: usize = 16;

/// What is shorter cannot be told from ordinary text.
pub(super) const SHORTEST_SECRET: usize = 8;

/// A secret that has ended is still looked for this long.
const ECHO: Duration = Duration::from_hours(1);

#[derive(Default)]
pub(super) struct ExactSecrets {
    needles: Vec<Arc<Needle>>,
    /// Every window of every long needle, sorted.
    windows: Vec<Window>,
    bitmap: Vec<u64>,
    escapable: bool,
}

struct Needle {
    label: &'static str,
    /// When it stops to be a secret.
    until: Option<SystemTime>,
    /// How long it stays one when the session's context is cleared: a lease does, to its end.
    lease_until: Option<SystemTime>,
    bytes: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Window {
    bytes: u64,
    needle: u32,
    offset: u32,
}

impl ExactSecrets {
    /// The same secrets and one more, in all its encodings; `None` if it is too short to be
    /// recognised.
    pub(super) fn with(
        &self,
        label: &'static str,
        secret: &str,
        until: Option<SystemTime>,
    ) -> Option<Self> {
        if secret.len() < SHORTEST_SECRET {
            return None;
        }
        let mut forms = encodings(secret);
        forms.retain(|bytes| bytes.len() >= SHORTEST_SECRET);
        Some(self.with_forms(label, forms, until))
    }

    /// The same secrets and one more, as it stands and in no other form.
    pub(super) fn with_plain(&self, label: &'static str, secret: &[u8]) -> Self {
        self.with_forms(label, vec![Zeroizing::new(secret.to_vec())], None)
    }

    fn with_forms(
        &self,
        label: &'static str,
        forms: Vec<Zeroizing<Vec<u8>>>,
        until: Option<SystemTime>,
    ) -> Self {
        let mut needles = self.needles.clone();
        // What JSON writes with a backslash does not stand in the text as it is.
        let escaped = |b: &u8| *b < b' ' || *b == b'"' || *b == b'\\' || !b.is_ascii();
        let mut escapable = self.escapable;
        for bytes in forms {
            escapable |= bytes.iter().any(escaped);
            let mut needle = Needle { label, until, lease_until: until, bytes };
            // Of one that is known already the longer life counts.
            if let Some(at) = needles.iter().position(|known| *known.bytes == *needle.bytes) {
                let known = needles.swap_remove(at);
                needle.label = known.label;
                needle.until = known.until.zip(needle.until).map(|(a, b)| a.max(b));
                needle.lease_until = known.lease_until.max(needle.lease_until);
            }
            needles.push(Arc::new(needle));
        }
        Self::of(needles, escapable)
    }

    fn of(mut needles: Vec<Arc<Needle>>, escapable: bool) -> Self {
        let now = clock::now();
        needles.retain(|needle| needle.until.is_none_or(|until| until + ECHO > now));
        // Never moved while it grows: that would leave pieces of secrets behind.
        let mut windows = Vec::with_capacity(needles.iter().map(|n| n.bytes.len()).sum());
        for (index, needle) in (0_u32..).zip(&needles) {
            if needle.bytes.len() >= RUN {
                for (offset, window) in (0_u32..).zip(needle.bytes.windows(WINDOW)) {
                    windows.push(Window { bytes: word(window), needle: index, offset });
                }
            }
        }
        // The same window of many secrets before the same window of one that repeats itself.
        windows.sort_unstable_by_key(|window| (window.bytes, window.offset));
        let bits = (windows.len() * 16).next_power_of_two().clamp(1 << 10, 1 << 22);
        let mut bitmap = vec![0_u64; bits / 64];
        for window in &windows {
            let bit = hash(window.bytes, bits);
            if let Some(cell) = bitmap.get_mut(bit / 64) {
                *cell |= 1 << (bit % 64);
            }
        }
        Self { needles, windows, bitmap, escapable }
    }

    /// Those that stay secrets when the session's context is cleared.
    pub(super) fn that_live_on(&self) -> Self {
        let needles = self.needles.iter().filter(|needle| needle.lease_until.is_some());
        let alone = needles.map(|needle| {
            let (label, until) = (needle.label, needle.lease_until);
            Arc::new(Needle { label, until, lease_until: until, bytes: needle.bytes.clone() })
        });
        Self::of(alone.collect(), self.escapable)
    }

    /// Whether a secret is among them.
    pub(super) fn knows(&self, secret: &[u8]) -> bool {
        self.needles.iter().any(|needle| *needle.bytes == secret)
    }

    /// How many have this label.
    pub(super) fn count(&self, label: &str) -> usize {
        self.needles.iter().filter(|needle| needle.label == label).count()
    }

    /// Whether a secret holds characters that JSON escapes.
    pub(super) fn escapable(&self) -> bool {
        self.escapable
    }

    /// Adds the places where a secret, or a long enough piece of one, stands.
    pub(super) fn find(&self, text: &[u8], edits: &mut Vec<Edit>) {
        self.find_long(text, edits);
        for needle in self.needles.iter().filter(|needle| needle.bytes.len() < RUN) {
            for start in memchr::memmem::find_iter(text, &*needle.bytes) {
                let range = start..start + needle.bytes.len();
                edits.push(Edit { range, label: needle.label, unquoted: false, lasting: false });
            }
        }
    }

    fn find_long(&self, text: &[u8], edits: &mut Vec<Edit>) {
        if self.windows.is_empty() {
            return;
        }
        let bits = self.bitmap.len() * 64;
        // What has been found need not be looked at again but for its last bytes, in which another
        // secret may begin.
        let mut found = 0;
        for (step, chunk) in text.chunks(STRIDE).enumerate() {
            // All but the last chunks hold a whole window of their own.
            let (at, Some(window)) = (step * STRIDE, chunk.get(..WINDOW)) else {
                continue;
            };
            let window = word(window);
            let bit = hash(window, bits);
            let cell = self.bitmap.get(bit / 64).copied().unwrap_or_default();
            if cell & (1 << (bit % 64)) != 0 && at + RUN > found {
                found = found.max(self.extend(text, at, window, edits));
            }
        }
    }

    /// Grows a window that may be part of a secret as far as it goes, and keeps it if it is. Gives
    /// the end of what was found.
    #[cold]
    fn extend(&self, text: &[u8], at: usize, window: u64, edits: &mut Vec<Edit>) -> usize {
        let first = self.windows.partition_point(|known| known.bytes < window);
        let same = self.windows.iter().skip(first).take_while(|known| known.bytes == window);
        let mut end = 0;
        for known in same.take(SAME) {
            let Some(needle) = self.needles.get(known.needle as usize) else {
                continue;
            };
            let range = run(text, at, &needle.bytes, known.offset as usize);
            if range.len() >= RUN {
                end = end.max(range.end);
                edits.push(Edit { range, label: needle.label, unquoted: false, lasting: false });
            }
        }
        end
    }
}

impl Drop for ExactSecrets {
    fn drop(&mut self) {
        for window in &mut self.windows {
            window.bytes.zeroize();
        }
    }
}

/// The run of equal bytes around `text[at]` and `needle[offset]`.
fn run(text: &[u8], at: usize, needle: &[u8], offset: usize) -> Range<usize> {
    let equal = |(a, b): &(&u8, &u8)| a == b;
    let (before, after) = text.split_at(at);
    let (needle_before, needle_after) = needle.split_at(offset);
    let back = before.iter().rev().zip(needle_before.iter().rev()).take_while(equal).count();
    let forth = after.iter().zip(needle_after).take_while(equal).count();
    at - back..at + forth
}

fn word(window: &[u8]) -> u64 {
    window.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// Fibonacci hashing to `bits`, a power of two.
fn hash(word: u64, bits: usize) -> usize {
    let mixed = word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    usize::try_from(mixed).unwrap_or_default() & (bits - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places(secrets: &[&str], text: &str) -> Vec<Range<usize>> {
        let mut exact = ExactSecrets::default();
        for secret in secrets {
            exact = exact.with("secret", secret, None).unwrap();
        }
        let mut edits = Vec::new();
        exact.find(text.as_bytes(), &mut edits);
        edits.into_iter().map(|edit| edit.range).collect()
    }

    const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn a_short_secret_is_found_whole_and_a_tiny_one_is_refused() {
        assert_eq!(places(&["hunter22"], "x hunter22 y"), vec![2..10]);
        assert!(places(&["hunter22"], "hunter2").is_empty());
        assert!(ExactSecrets::default().with("secret", "test", None).is_none());
    }

    #[test]
    fn a_secret_that_repeats_itself_is_found_and_costs_no_more() {
        let secret = "Aa1!".repeat(1024);
        let text = format!("{} {KEY}", "Aa1!".repeat(1 << 18));
        let places = places(&[&secret, KEY], &text);
        assert!(places.len() < 10_000, "{}", places.len());
        let mut end = 0;
        for place in &places {
            assert!(place.start < end + RUN, "a piece of 16 between {end} and {}", place.start);
            end = end.max(place.end);
        }
        assert_eq!(end, text.len());
    }

    #[test]
    fn of_a_secret_that_is_learned_twice_the_longer_life_counts() {
        let soon = Some(clock::now() + ECHO);
        for untils in [[soon, None], [None, soon]] {
            let mut exact = ExactSecrets::default();
            for until in untils {
                exact = exact.with("secret", KEY, until).unwrap();
            }
            assert!(exact.needles.iter().all(|needle| needle.until.is_none()), "{untils:?}");
            let exact = exact.with("secret", "another secret", None).unwrap();
            assert!(exact.knows(KEY.as_bytes()), "{untils:?}");
            let later = exact.that_live_on();
            assert!(later.knows(KEY.as_bytes()), "{untils:?}");
            assert!(later.needles.iter().all(|needle| needle.until == soon), "{untils:?}");
            assert!(!exact.that_live_on().knows(b"another secret"));
        }
    }

    #[test]
    fn clean_text_has_no_places() {
        assert!(
            places(&[KEY, "hunter22"], &"arn:aws:ecs:us-east-1:1:task/".repeat(500)).is_empty()
        );
    }

    proptest! {
        #[test]
        fn any_piece_of_sixteen_is_found_wherever_it_stands(
            before in "[a-z ]{0,40}", after in "[a-z ]{0,40}", start in 0_usize..24, more in 0_usize..24,
        ) {
            let piece = &KEY[start..(start + 16 + more).min(40)];
            prop_assume!(piece.len() >= 16);
            let text = format!("{before}{piece}{after}");
            let covered = places(&[KEY], &text);
            let want = before.len()..before.len() + piece.len();
            prop_assert!(
                covered.iter().any(|r| r.start <= want.start && r.end >= want.end),
                "{text}: {covered:?}"
            );
        }
    }
}
