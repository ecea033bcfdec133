//! The hash chain. A line is
//!
//! ```text
//! {"seq":7,"time":"…","prev":"<hash of record 6>", …, "hash":"<SHA-256 of the line up to here>"}
//! ```
//!
//! Several processes may append to one file: each append holds the file's lock, and a process
//! that finds the file longer than it left it reads the new end first. One that finds it shorter
//! refuses to go on.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{clock, ids::hex};

/// `prev` of the first record.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands before a record's own hash.
const HASH_FIELD: &str = ",\"hash\":\"";

/// The log cannot be written, so nothing may be done.
#[derive(Debug)]
pub struct AuditError {
    path: PathBuf,
    kind: ErrorKind,
}

#[derive(Debug)]
enum ErrorKind {
    Io(io::Error),
    Deleted,
    Shortened,
    NotALog,
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ErrorKind::Io(error) => write!(
                f,
                "the audit log {path} cannot be written ({error}), and without it nothing is done: \
                 make it writable, or set audit.file"
            ),
            ErrorKind::Deleted => write!(
                f,
                "the audit log {path} was deleted while in use, and without it nothing is done: \
                 restart the server to begin a new one"
            ),
            ErrorKind::Shortened => write!(
                f,
                "the audit log {path} was cut while in use, and without it nothing is done: find \
                 out by whom, move it away and restart the server to begin a new one"
            ),
            ErrorKind::NotALog => write!(
                f,
                "{path} does not end in an audit record, so nothing is appended to it: move it \
                 away, or set audit.file"
            ),
        }
    }
}

impl std::error::Error for AuditError {}

#[derive(Debug)]
pub(super) struct Chain {
    path: PathBuf,
    file: File,
    /// The length at which `seq` and `prev` were read; none where they are not known.
    len: Option<u64>,
    seq: u64,
    prev: String,
}

/// A record with its place in the chain.
#[derive(Serialize)]
struct Linked<'a, T> {
    seq: u64,
    time: String,
    prev: &'a str,
    #[serde(flatten)]
    record: &'a T,
}

/// What closes a line that a crash left unfinished.
#[derive(Serialize)]
struct Recovered {
    event: &'static str,
    /// SHA-256 of the unfinished line, so that `verify` knows it from an edit.
    torn: String,
}

impl Chain {
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let failed = |error| AuditError { path: path.to_path_buf(), kind: ErrorKind::Io(error) };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut chain =
            Self { path: path.to_path_buf(), file, len: None, seq: 0, prev: GENESIS.to_owned() };
        chain.file.lock().map_err(failed)?;
        let caught_up = chain.catch_up();
        chain.file.unlock().map_err(failed)?;
        caught_up.map(|()| chain)
    }

    /// Appends one record, whole or not at all as far as the operating system can promise.
    pub(super) fn append(&mut self, record: &impl Serialize) -> Result<(), AuditError> {
        self.file.lock().map_err(|error| self.failed(error))?;
        let appended = self.catch_up().and_then(|()| self.write("", record));
        let unlocked = self.file.unlock().map_err(|error| self.failed(error));
        appended.and(unlocked)
    }

    fn failed(&self, error: io::Error) -> AuditError {
        AuditError { path: self.path.clone(), kind: ErrorKind::Io(error) }
    }

    /// Reads the end of the file again if someone else has written to it.
    fn catch_up(&mut self) -> Result<(), AuditError> {
        let metadata = self.file.metadata().map_err(|error| self.failed(error))?;
        if metadata.nlink() == 0 {
            return Err(AuditError { path: self.path.clone(), kind: ErrorKind::Deleted });
        }
        match self.len {
            Some(len) if metadata.len() == len => return Ok(()),
            // Appending would hide what was cut off.
            Some(len) if metadata.len() < len => {
                return Err(AuditError { path: self.path.clone(), kind: ErrorKind::Shortened });
            }
            _ => {}
        }
        if let Some(len) = self.len
            && len > 0
            && !self.still_ends_at(len).map_err(|error| self.failed(error))?
        {
            return Err(AuditError { path: self.path.clone(), kind: ErrorKind::Shortened });
        }
        let tail = self.last_lines(metadata.len()).map_err(|error| self.failed(error))?;
        let (complete, torn) = match tail.iter().rposition(|b| *b == b'\n') {
            Some(end) => tail.split_at(end + 1),
            None => tail.split_at(0),
        };
        let last = complete.strip_suffix(b"\n").unwrap_or(complete);
        let last = last.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        if last.is_empty() {
            (self.seq, self.prev) = (0, GENESIS.to_owned());
        } else {
            let (seq, hash) = read_link(last)
                .ok_or_else(|| AuditError { path: self.path.clone(), kind: ErrorKind::NotALog })?;
            (self.seq, self.prev) = (seq + 1, hash);
        }
        self.len = Some(metadata.len());
        if let Some((seq, hash)) = read_link(torn) {
            // Only its line end is missing.
            self.len = None;
            self.file.write_all(b"\n").map_err(|error| self.failed(error))?;
            (self.seq, self.prev) = (seq + 1, hash);
            self.len = Some(metadata.len() + 1);
        } else if !torn.is_empty() {
            let recovered = Recovered { event: "recovered", torn: hex(&Sha256::digest(torn)) };
            // The end of the torn line goes with its record, or a crash between them would leave a
            // line that no record tells of.
            self.write("\n", &recovered)?;
        }
        Ok(())
    }

    /// Whether our last record still stands where it stood, or was cut off and written over.
    fn still_ends_at(&mut self, len: u64) -> io::Result<bool> {
        let end = format!("{HASH_FIELD}{}\"}}\n", self.prev);
        let mut found = vec![0; end.len()];
        self.file.seek(SeekFrom::Start(len.saturating_sub(end.len() as u64)))?;
        self.file.read_exact(&mut found)?;
        Ok(found == end.as_bytes())
    }

    /// The last complete line and what follows it, at least.
    fn last_lines(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let mut window = 64 << 10;
        loop {
            let start = len.saturating_sub(window);
            self.file.seek(SeekFrom::Start(start))?;
            let mut tail = Vec::new();
            Read::by_ref(&mut self.file).take(len - start).read_to_end(&mut tail)?;
            if start == 0 || memchr::memchr_iter(b'\n', &tail).count() >= 2 {
                return Ok(tail);
            }
            window *= 4;
        }
    }

    fn write(&mut self, before: &str, record: &impl Serialize) -> Result<(), AuditError> {
        let linked =
            Linked { seq: self.seq, time: clock::rfc3339(clock::now()), prev: &self.prev, record };
        let mut line = serde_json::to_string(&linked).map_err(|error| self.failed(error.into()))?;
        line.pop(); // the closing brace, put back after the hash
        let hash = hex(&Sha256::digest(&line));
        let line = format!("{before}{line}{HASH_FIELD}{hash}\"}}\n");
        let written = self.file.write_all(line.as_bytes());
        // If it failed, some of it may stand there: the next append looks again.
        let len = self.len.take();
        written.map_err(|error| self.failed(error))?;
        self.len = len.map(|len| len + line.len() as u64);
        self.seq += 1;
        self.prev = hash;
        Ok(())
    }
}

/// The sequence number and hash of a line that is an intact record.
fn read_link(line: &[u8]) -> Option<(u64, String)> {
    #[derive(serde::Deserialize)]
    struct Link {
        seq: u64,
    }
    let line = std::str::from_utf8(line).ok()?;
    let link: Link = serde_json::from_str(line).ok()?;
    let (body, hash) = body_and_hash(line)?;
    (hex(&Sha256::digest(body)) == hash).then(|| (link.seq, hash.to_owned()))
}

/// A record's text up to its hash, and the hash, after which nothing else stands.
pub(super) fn body_and_hash(line: &str) -> Option<(&str, &str)> {
    let (body, rest) = line.rsplit_once(HASH_FIELD)?;
    let hash = rest.strip_suffix("\"}")?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some((body, hash))
}
