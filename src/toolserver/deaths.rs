//! When a child that ends again and again is left alone.

use std::time::{Duration, Instant};

/// A child that ended this often without an answer in between is left alone for a while.
pub(super) const DEATHS: u32 = 2;
/// For how long.
pub(super) const LEFT_ALONE: Duration = Duration::from_secs(30);

/// The ends of one child and of those that took its place.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// How many, and when the last one was.
    counted: Option<(u32, Instant)>,
}

impl Deaths {
    pub(super) fn count(&mut self) {
        let deaths = self.counted.map_or(0, |(deaths, _)| deaths);
        self.counted = Some((deaths + 1, Instant::now()));
    }

    /// It answered.
    pub(super) fn forget(&mut self) {
        self.counted = None;
    }

    /// Whether it is to be left alone now.
    pub(super) fn leave_alone(&mut self) -> bool {
        match self.counted {
            Some((deaths, last)) if deaths >= DEATHS => {
                if last.elapsed() < LEFT_ALONE {
                    return true;
                }
                // One more try; if that fails too, it is left alone again.
                self.counted = Some((DEATHS - 1, last));
                false
            }
            _ => false,
        }
    }
}
