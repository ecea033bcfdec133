//! One pass over a text for every word that a secret's name holds, and every literal without which
//! a form of secret cannot stand there. Nearly all text is told to be clean by this pass alone.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::patterns::PATTERNS;

/// Parts of the words of [`super::names`]: rarer than their beginnings, and so quicker to look for.
const OF_NAMES: [&str; 18] = [
    "pass",
    "pwd",
    "ecret",
    "oken",
    "redential",
    "_key",
    "-key",
    "ikey",
    "skey",
    "ekey",
    "dkey",
    "gkey",
    "nkey",
    "hkey",
    "mkey",
    "orization",
    "nstring",
    "n_string",
];

/// So much is looked at in one piece.
const PIECE: usize = 16 << 10;
/// Pieces overlap by this much, which is more than the longest word.
const OVERLAP: usize = 32;

/// What stands in a text.
#[derive(Default)]
pub(super) struct Words {
    /// Where a name may hold a word that promises a secret, in order.
    pub(super) names: Vec<usize>,
    /// For each pattern, whether its literal is there.
    pub(super) patterns: [bool; PATTERNS.len()],
}

struct Finder {
    /// Of all words, in lower case. Leftmost-first, for that finder has a vectorised prefilter.
    automaton: AhoCorasick,
    /// For each word the pattern it is of; `None` for a part of a name.
    owners: Vec<Option<usize>>,
}

static FINDER: LazyLock<Option<Finder>> = LazyLock::new(|| {
    let names = OF_NAMES.iter().map(|word| (None, (*word).to_owned()));
    let patterns = PATTERNS.iter().enumerate().flat_map(|(index, pattern)| {
        pattern.literals.iter().map(move |literal| (Some(index), literal.to_ascii_lowercase()))
    });
    let (owners, words): (Vec<_>, Vec<_>) = names.chain(patterns).unzip();
    let automaton =
        AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words).ok()?;
    Some(Finder { automaton, owners })
});

impl Words {
    pub(super) fn find(text: &[u8]) -> Self {
        let mut words = Self::default();
        let Some(finder) = FINDER.as_ref() else {
            // Never so, as a test shows. Then every place may hold anything.
            return Self { names: (0..text.len()).collect(), patterns: [true; PATTERNS.len()] };
        };
        let mut lower = Vec::with_capacity(text.len().min(PIECE + OVERLAP));
        let mut start = 0;
        while start < text.len() {
            let end = text.len().min(start + PIECE + OVERLAP);
            lower.clear();
            lower.extend_from_slice(text.get(start..end).unwrap_or_default());
            lower.make_ascii_lowercase();
            for word in finder.automaton.find_iter(&lower) {
                if word.start() >= PIECE {
                    break; // the next piece has it
                }
                match finder.owners.get(word.pattern().as_usize()) {
                    Some(Some(pattern)) => {
                        if let Some(present) = words.patterns.get_mut(*pattern) {
                            *present = true;
                        }
                    }
                    _ => words.names.push(start + word.start()),
                }
            }
            start += PIECE;
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names, *};

    #[test]
    fn every_word_of_a_name_and_every_literal_is_found_wherever_it_stands() {
        assert!(FINDER.is_some());
        for at in [0, 1, 100, PIECE - 20, PIECE - 3, PIECE - 1, PIECE, 3 * PIECE - 2] {
            let before = "x ".repeat(at / 2) + if at % 2 == 1 { "." } else { "" };
            for word in names::WORDS {
                let name = format!("{before}{}", word.to_ascii_uppercase());
                let words = Words::find(name.as_bytes());
                let inside = before.len()..name.len();
                assert!(words.names.iter().any(|at| inside.contains(at)), "{word} at {at}");
            }
            // A literal that ends where a word begins must not hide it.
            for (literal, word) in PATTERNS
                .iter()
                .flat_map(|pattern| pattern.literals)
                .flat_map(|literal| names::WORDS.map(|word| (literal, word)))
                .chain([(&"smtp_live_", "pass"), (&"npm_", "pass"), (&"zendesk-", "pass")])
            {
                let name = format!("{before}{literal}{word}");
                let words = Words::find(name.as_bytes());
                let inside = before.len()..name.len();
                assert!(words.names.iter().any(|at| inside.contains(at)), "{literal}{word}");
            }
            for (index, pattern) in PATTERNS.iter().enumerate() {
                for literal in pattern.literals {
                    let words = Words::find(format!("{before}{literal}").as_bytes());
                    assert!(words.patterns[index], "{literal} at {at}");
                }
            }
        }
        assert!(Words::find("a clean text of an ECS service's events".as_bytes()).names.is_empty());
    }
}
