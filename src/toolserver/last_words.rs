//! What a child writes to stderr: into our log, redacted, and its last lines into error messages.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{process::ChildStderr, sync::watch, time::timeout};

use crate::{
    frame::{Frame, FrameReader},
    name::ServerName,
    redact::Redactor,
};

/// What a child last wrote to stderr.
pub(super) struct LastWords {
    lines: Mutex<VecDeque<String>>,
    closed: watch::Receiver<bool>,
}

impl LastWords {
    const LINES: usize = 5;
    const LINE: usize = 500;
    /// A private key has no more lines than this.
    const KEY: u32 = 200;
    /// Lines up to this length, in bytes, are read.
    const READ: usize = 64 << 10;

    pub(super) fn follow(
        server: &ServerName,
        stderr: ChildStderr,
        redactor: &Arc<Redactor>,
    ) -> Arc<Self> {
        let (close, closed) = watch::channel(false);
        let words = Arc::new(Self { lines: Mutex::default(), closed });
        let (kept, server, redactor) = (Arc::clone(&words), server.clone(), Arc::clone(redactor));
        tokio::spawn(async move {
            let mut lines = FrameReader::new(stderr, Self::READ);
            let mut left_of_key = 0_u32;
            let mut ended = false;
            while !ended {
                // What is cut anywhere could be cut in the middle of a secret.
                let text = match lines.next().await {
                    Ok(Some(Frame::Line(line))) => String::from_utf8_lossy(&line).into_owned(),
                    Ok(Some(Frame::TooLong(line))) => format!("[a line of {} bytes]", line.bytes),
                    Ok(None) | Err(_) => {
                        ended = true;
                        String::from_utf8_lossy(lines.rest()).into_owned()
                    }
                };
                let text = text.trim_end();
                if text.is_empty() {
                    continue;
                }
                // A private key has lines of its own.
                if text.contains("-----BEGIN") && text.contains("PRIVATE KEY") {
                    left_of_key = Self::KEY;
                }
                let text = if left_of_key > 0 {
                    let ends = text.contains("-----END");
                    left_of_key = if ends { 0 } else { left_of_key - 1 };
                    String::from("[redacted: private key]")
                } else {
                    redactor.text(text).into_inner()
                };
                tracing::debug!(target: "subrosa::child", server = %server, "{text}");
                kept.keep(&text);
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
