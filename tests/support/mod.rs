//! What the tests stand on.

pub mod agent;
pub mod aws;
pub mod emulator;
pub mod node;
pub mod python;
pub mod replay;
pub mod sts;
pub mod workspace;

use std::time::{Duration, Instant};

/// Waits until `condition` holds; fails after half a minute.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
