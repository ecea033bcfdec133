//! Checks a log's chain, and says where it breaks.

use std::{
    fmt,
    io::{self, BufRead},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::chain::{GENESIS, body_and_hash};
use crate::ids::hex;

/// A chain that holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The hash of the last one. Kept elsewhere, it proves later that none was cut off.
    pub head: String,
    /// How many unfinished lines a crash left behind, each accounted for.
    pub torn: u64,
}

/// Where a chain breaks.
#[derive(Debug)]
pub struct Broken {
    line: u64,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    NotARecord,
    Edited { seq: u64 },
    Missing { expected: u64, found: u64 },
    Reordered { expected: u64, found: u64 },
    Relinked { seq: u64 },
    Torn,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &self.problem {
            Problem::Io(error) => write!(f, "line {line}: cannot be read: {error}"),
            Problem::NotARecord => write!(f, "line {line}: is not an audit record"),
            Problem::Edited { seq } => {
                write!(f, "line {line}: record {seq} was edited: it does not have its own hash")
            }
            Problem::Missing { expected, found } if found - expected == 1 => {
                write!(f, "line {line}: record {expected} is missing before record {found}")
            }
            Problem::Missing { expected, found } => write!(
                f,
                "line {line}: records {expected} to {} are missing before record {found}",
                found - 1
            ),
            Problem::Reordered { expected, found } => write!(
                f,
                "line {line}: record {found} stands where record {expected} belongs: lines were \
                 moved or repeated"
            ),
            Problem::Relinked { seq } => write!(
                f,
                "line {line}: record {seq} does not follow the record before it: that one was \
                 replaced"
            ),
            Problem::Torn => {
                write!(f, "line {line}: is unfinished, and no record tells of a crash")
            }
        }
    }
}

impl std::error::Error for Broken {}

#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
    torn: Option<String>,
}

/// Reads a whole log and checks that every record has its own hash, follows the one before, and
/// that none is missing in between. What was cut off at the end cannot be seen from the file
/// alone: compare [`Verified::head`] with a copy kept elsewhere.
pub fn verify(log: impl BufRead) -> Result<Verified, Broken> {
    let mut verified = Verified { records: 0, head: GENESIS.to_owned(), torn: 0 };
    // A line that is no record, and its number: the next record must account for it.
    let mut torn: Option<(u64, String)> = None;
    for (line, bytes) in (1..).zip(log.split(b'\n')) {
        let broken = |problem| Broken { line, problem };
        let bytes = bytes.map_err(|error| broken(Problem::Io(error)))?;
        let Some((link, body, hash)) = parse(&bytes) else {
            if torn.is_some() {
                return Err(broken(Problem::NotARecord));
            }
            torn = Some((line, hex(&Sha256::digest(&bytes))));
            continue;
        };
        if let (Some((line, _)), None) = (&torn, &link.torn) {
            return Err(Broken { line: *line, problem: Problem::NotARecord });
        }
        if hex(&Sha256::digest(body)) != hash {
            return Err(broken(Problem::Edited { seq: link.seq }));
        }
        let (expected, found) = (verified.records, link.seq);
        if found > expected {
            return Err(broken(Problem::Missing { expected, found }));
        }
        if found < expected {
            return Err(broken(Problem::Reordered { expected, found }));
        }
        if link.prev != verified.head {
            return Err(broken(Problem::Relinked { seq: link.seq }));
        }
        match (torn.take(), link.torn) {
            (None, None) => {}
            (Some((_, found)), Some(told)) if found == told => verified.torn += 1,
            (Some((line, _)), _) => {
                return Err(Broken { line, problem: Problem::NotARecord });
            }
            (None, Some(_)) => return Err(broken(Problem::Torn)),
        }
        verified.records += 1;
        hash.clone_into(&mut verified.head);
    }
    match torn {
        Some((line, _)) => Err(Broken { line, problem: Problem::Torn }),
        None => Ok(verified),
    }
}

/// A record's link, the part of the line that its hash is over, and the hash.
fn parse(line: &[u8]) -> Option<(Link, &str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let link = serde_json::from_str(line).ok()?;
    let (body, hash) = body_and_hash(line)?;
    Some((link, body, hash))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;
    use crate::{audit::AuditLog, principal::Principal, session::Session};

    fn log(records: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/audit.jsonl");
        let log = AuditLog::open(&path).unwrap();
        let session = Session::open(Principal::new("uid:1", "alice"));
        for _ in 0..records {
            log.opened(&session).unwrap();
        }
        (folder, path)
    }

    fn check(text: &str) -> Result<Verified, String> {
        verify(text.as_bytes()).map_err(|broken| broken.to_string())
    }

    #[test]
    fn a_chain_holds_and_its_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, path) = log(5);
        let verified = check(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((verified.records, verified.torn), (5, 0));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(check("").unwrap().records, 0);
    }

    #[test]
    fn every_tampering_is_found_and_told() {
        let (_folder, path) = log(6);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let join =
            |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();

        let edited = text.replacen("alice", "mallory", 3);
        assert!(check(&edited).unwrap_err().starts_with("line 1: record 0 was edited"));
        let last = text.replace(lines[5], &lines[5].replace("alice", "mallory"));
        assert!(check(&last).unwrap_err().starts_with("line 6: record 5 was edited"));

        let gap = join(&[lines[0], lines[1], lines[4], lines[5]]);
        assert_eq!(check(&gap).unwrap_err(), "line 3: records 2 to 3 are missing before record 4");
        let moved = join(&[lines[0], lines[1], lines[1], lines[2]]);
        assert!(check(&moved).unwrap_err().contains("record 1 stands where record 2 belongs"));
        let start = join(&lines[2..]);
        assert!(check(&start).unwrap_err().contains("records 0 to 1 are missing"));

        let (_other, path) = log(6);
        let other = fs::read_to_string(path).unwrap();
        let other: Vec<&str> = other.lines().collect();
        let spliced = join(&[lines[0], other[1], lines[2]]);
        assert!(check(&spliced).unwrap_err().starts_with("line 2: record 1 does not follow"));

        // What stands after the hash is in no hash.
        for added in ["\",\"note\":\"x\"}", "\"} ", "\" }"] {
            let line = lines[1].strip_suffix("\"}").unwrap();
            let longer = join(&[lines[0], &format!("{line}{added}"), lines[2]]);
            assert_eq!(check(&longer).unwrap_err(), "line 2: is not an audit record");
        }

        let garbage = join(&[lines[0], "what", lines[1]]);
        assert_eq!(check(&garbage).unwrap_err(), "line 2: is not an audit record");
    }

    #[test]
    fn a_line_that_a_crash_tore_is_accounted_for() {
        let (_folder, path) = log(3);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":3,\"time\":\"2026-").unwrap();
        assert!(check(&fs::read_to_string(&path).unwrap()).unwrap_err().contains("unfinished"));

        let log = AuditLog::open(&path).unwrap();
        log.opened(&Session::open(Principal::new("uid:1", "alice"))).unwrap();
        let verified = check(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((verified.records, verified.torn), (5, 1));
    }

    #[test]
    fn a_record_that_lost_only_its_line_end_is_whole() {
        let (_folder, path) = log(3);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.trim_end()).unwrap();
        let log = AuditLog::open(&path).unwrap();
        log.opened(&Session::open(Principal::new("uid:1", "alice"))).unwrap();
        let verified = check(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((verified.records, verified.torn), (4, 0));
    }

    #[test]
    fn writers_side_by_side_keep_one_chain() {
        let (_folder, path) = log(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let log = AuditLog::open(&path).unwrap();
                    let session = Session::open(Principal::new("uid:1", "alice"));
                    for _ in 0..50 {
                        log.opened(&session).unwrap();
                    }
                });
            }
        });
        assert_eq!(check(&fs::read_to_string(&path).unwrap()).unwrap().records, 200);
    }

    #[test]
    fn nothing_is_appended_to_a_file_that_is_no_log_or_was_cut_or_is_gone() {
        let (_folder, path) = log(1);
        fs::write(&path, "notes\n").unwrap();
        assert!(AuditLog::open(&path).unwrap_err().to_string().contains("does not end in an"));

        let (_folder, path) = log(1);
        let log = AuditLog::open(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        log.opened(&Session::open(Principal::new("uid:1", "alice"))).unwrap();
        fs::write(&path, &text).unwrap();
        let session = Session::open(Principal::new("uid:1", "alice"));
        assert!(log.opened(&session).unwrap_err().to_string().contains("was cut while in use"));
        // Cut, and grown again past its length by somebody else.
        let other = AuditLog::open(&path).unwrap();
        for _ in 0..3 {
            other.opened(&Session::open(Principal::new("uid:2", "bob"))).unwrap();
        }
        assert!(log.opened(&session).unwrap_err().to_string().contains("was cut while in use"));
        fs::remove_file(&path).unwrap();
        let session = Session::open(Principal::new("uid:1", "alice"));
        assert!(log.opened(&session).unwrap_err().to_string().contains("was deleted"));
    }
}
