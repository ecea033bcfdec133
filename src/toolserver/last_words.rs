//! What a child writes to stderr: into our log, redacted, and its last lines into error messages.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::ChildStderr,
    sync::watch,
    time::timeout,
};

use crate::{name::ServerName, redact::Redactor};

/// What a child last wrote to stderr.
pub(super) struct LastWords {
    lines: Mutex<VecDeque<String>>,
    closed: watch::Receiver<bool>,
}

impl LastWords {
    const LINES: usize = 5;
    const LINE: usize = 500;

    pub(super) fn follow(
        server: &ServerName,
        stderr: ChildStderr,
        redactor: &Arc<Redactor>,
    ) -> Arc<Self> {
        let (close, closed) = watch::channel(false);
        let words = Arc::new(Self { lines: Mutex::default(), closed });
        let (kept, server, redactor) = (Arc::clone(&words), server.clone(), Arc::clone(redactor));
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            loop {
                line.clear();
                // A line without an end is taken in pieces.
                let read = (&mut reader).take(64 << 10).read_until(b'\n', &mut line).await;
                if !matches!(read, Ok(1..)) {
                    break;
                }
                let text = redactor.text(String::from_utf8_lossy(&line).trim_end()).into_inner();
                tracing::debug!(target: "subrosa::child", server = %server, "{text}");
                if !text.is_empty() {
                    kept.keep(&text);
                }
            }
            let _ = close.send(true);
        });
        words
    }

    fn keep(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(Self::LINE).collect());
    }

    pub(super) fn get(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; it last said: {}", lines.join(" / "))
    }

    /// The last words once the child has closed its stderr, which may come after its end.
    pub(super) async fn settled(&self) -> String {
        let mut closed = self.closed.clone();
        let _ = timeout(Duration::from_millis(500), closed.wait_for(|closed| *closed)).await;
        self.get()
    }
}
