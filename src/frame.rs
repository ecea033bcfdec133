//! One line, one JSON-RPC message (MCP specification, "stdio"): read, looked at from outside, and
//! written, without a tree being built.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How much is read at once, at least.
const READ: usize = 64 << 10;
/// Of a message that is too long, so much of its beginning and end is kept to find its id in.
const KEPT: usize = 512;
/// Messages that wait to be written.
const QUEUE: usize = 256;
/// More bytes than this need not wait to be written.
pub const BACKLOG: usize = 4 << 20;
/// Messages that are written with one call, together at most this long.
const BATCH: usize = 256 << 10;

/// A line.
#[derive(Debug)]
pub enum Frame {
    /// A line within the limit, without its end.
    Line(Bytes),
    /// A line over the limit; it is gone.
    TooLong(TooLong),
}

/// What is left of a line over the limit.
#[derive(Debug)]
pub struct TooLong {
    /// How long it was, in bytes.
    pub bytes: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Reads lines. [`FrameReader::next`] may be dropped and called again without losing any.
pub struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
    discarding: Option<TooLong>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads lines of at most `limit` bytes.
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: BytesMut::new(), searched: 0, limit, discarding: None }
    }

    /// The next line; `None` at the end. Blank lines, and what follows the last line end, are no
    /// messages.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take_line() {
                return Ok(Some(frame));
            }
            // Twice as long each time, so that a long line is not copied too often.
            self.buffer.reserve(READ.max(self.buffer.len()));
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// What followed the last line end, once all has been read; nothing of a line over the limit.
    pub fn rest(&self) -> &[u8] {
        if self.discarding.is_some() { &[] } else { &self.buffer }
    }

    fn take_line(&mut self) -> Option<Frame> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                self.searched = self.buffer.len();
                if self.searched > self.limit {
                    let part = self.buffer.split();
                    self.searched = 0;
                    self.discarding.get_or_insert_with(TooLong::default).take(&part);
                }
                return None;
            };
            let mut line = self.buffer.split_to(self.searched + found + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if self.discarding.is_some() || line.len() > self.limit {
                let mut too_long = self.discarding.take().unwrap_or_default();
                too_long.take(&line);
                return Some(Frame::TooLong(too_long));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Frame::Line(line.freeze()));
            }
        }
    }
}

impl Default for TooLong {
    fn default() -> Self {
        Self { bytes: 0, head: Vec::with_capacity(KEPT), tail: Vec::with_capacity(KEPT) }
    }
}

impl TooLong {
    fn take(&mut self, part: &[u8]) {
        self.bytes += part.len();
        let room = KEPT - self.head.len();
        self.head.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        self.tail
            .extend_from_slice(part.get(part.len().saturating_sub(KEPT)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
    }

    /// The message's id, as it stands there. Python and Rust write it first, TypeScript last.
    pub fn id(&self) -> Option<String> {
        first_id(&self.head).or_else(|| last_id(&self.tail)).map(str::to_owned)
    }
}

/// The id, where only `jsonrpc` and `method` stand before it.
fn first_id(head: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(head).unwrap_or_else(|error| {
        std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
    });
    let mut rest = text.trim_start().strip_prefix('{')?;
    loop {
        let (key, value) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        if key == "id" {
            return id_at(value);
        }
        let value = value.strip_prefix('"')?;
        rest = value.split_once('"')?.1.trim_start().strip_prefix(',')?;
    }
}

/// The id, where it is the last member.
fn last_id(tail: &[u8]) -> Option<&str> {
    let start = memchr::memmem::rfind(tail, b"\"id\"")?;
    let text = std::str::from_utf8(tail.get(start..)?).ok()?;
    let value = text.strip_prefix("\"id\"")?.trim_start().strip_prefix(':')?.trim_start();
    let id = id_at(value)?;
    (value.get(id.len()..)?.trim() == "}").then_some(id)
}

fn id_at(value: &str) -> Option<&str> {
    let end = match value.strip_prefix('"') {
        Some(string) => string.find('"')? + 2,
        None => value.find(|c: char| !c.is_ascii_digit() && c != '-')?,
    };
    value.get(..end).filter(|id| !id.is_empty())
}

/// A JSON-RPC message from outside.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// The id, as it stands there.
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    /// What is asked for or told.
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    /// With what.
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    /// An answer.
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    /// An error as the answer.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Looks at a line; the whole line must be JSON, and name nothing twice.
    pub fn read(line: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

/// The part of `frame` that `part` is, without a copy.
pub fn slice_of(frame: &Bytes, part: &RawValue) -> Bytes {
    frame.slice_ref(part.get().as_bytes())
}

/// Writes messages, in the order in which they are given. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct FrameWriter {
    queue: mpsc::Sender<Message>,
    close: CancellationToken,
    backlog: Arc<Backlog>,
}

/// The parts of one message, with its line end.
struct Message {
    parts: Vec<Bytes>,
    _waiting: Waiting,
}

/// What waits to be written, or for its place among what does.
#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    less: Notify,
}

/// A message's share of the backlog, until it has been written or given up.
struct Waiting {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Waiting {
    fn new(backlog: &Arc<Backlog>, parts: &[Bytes]) -> Self {
        let bytes = parts.iter().map(Bytes::len).sum();
        backlog.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { backlog: Arc::clone(backlog), bytes }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.backlog.less.notify_waiters();
    }
}

/// The other side does not read any more.
#[derive(Debug, thiserror::Error)]
#[error("the other side has closed the connection")]
pub struct Closed;

impl FrameWriter {
    /// Writes to `sink` on a task of its own.
    pub fn spawn<W: AsyncWrite + Send + Unpin + 'static>(sink: W) -> (Self, JoinHandle<()>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let writer = Self { queue, close: CancellationToken::new(), backlog: Arc::default() };
        let close = writer.close.clone();
        let task = tokio::spawn(async move {
            tokio::pin!(sink);
            // What was queued before the close is still written.
            if write(messages, sink.as_mut(), &close).await.is_ok() {
                let _ = sink.shutdown().await;
            }
            close.cancel();
        });
        (writer, task)
    }

    /// Queues one message, given in parts and without its line end.
    pub async fn send(&self, mut parts: Vec<Bytes>) -> Result<(), Closed> {
        parts.push(Bytes::from_static(b"\n"));
        let message = Message { _waiting: Waiting::new(&self.backlog, &parts), parts };
        tokio::select! {
            sent = self.queue.send(message) => sent.map_err(|_| Closed),
            () = self.close.cancelled() => Err(Closed),
        }
    }

    /// Queues one message if there is room.
    pub fn try_send(&self, message: Bytes) -> Result<(), Closed> {
        if self.close.is_cancelled() {
            return Err(Closed);
        }
        let parts = vec![message, Bytes::from_static(b"\n")];
        let message = Message { _waiting: Waiting::new(&self.backlog, &parts), parts };
        self.queue.try_send(message).map_err(|_| Closed)
    }

    /// Waits until no more than [`BACKLOG`] bytes wait to be written: whoever makes more of them
    /// for a reader that does not read would fill the memory.
    pub async fn drained(&self) {
        loop {
            let less = self.backlog.less.notified();
            if self.backlog.bytes.load(Ordering::Relaxed) <= BACKLOG {
                return;
            }
            tokio::select! {
                () = less => {}
                () = self.close.cancelled() => return,
            }
        }
    }

    /// Closes the connection after what is queued.
    pub fn close(&self) {
        self.close.cancel();
    }

    /// Waits until the connection is closed, by either side.
    pub async fn closed(&self) {
        self.close.cancelled().await;
    }
}

async fn write<W: AsyncWrite>(
    mut messages: mpsc::Receiver<Message>,
    mut sink: Pin<&mut W>,
    close: &CancellationToken,
) -> io::Result<()> {
    let mut batch = Vec::new();
    loop {
        let message = tokio::select! {
            biased;
            message = messages.recv() => message,
            () = close.cancelled() => None,
        };
        let Some(message) = message else {
            return sink.flush().await;
        };
        let mut next = Some(message);
        while let Some(message) = next {
            for part in message.parts {
                // Large parts are written from where they lie.
                if part.len() > BATCH {
                    sink.write_all(&batch).await?;
                    batch.clear();
                    sink.write_all(&part).await?;
                } else {
                    batch.extend_from_slice(&part);
                }
            }
            next = if batch.len() < BATCH { messages.try_recv().ok() } else { None };
        }
        sink.write_all(&batch).await?;
        batch.clear();
        sink.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(text: &[u8], limit: usize) -> Vec<String> {
        let mut reader = FrameReader::new(text, limit);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().await.unwrap() {
            frames.push(match frame {
                Frame::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
                Frame::TooLong(line) => format!("{} {:?}", line.bytes, line.id()),
            });
        }
        frames
    }

    #[tokio::test]
    async fn lines_are_taken_apart_whatever_their_end() {
        assert_eq!(frames(b"a\nb\r\n\n  \nc\nrest", 10).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_dropped_and_its_id_is_told() {
        let long = "x".repeat(3 << 20);
        for (message, id) in [
            (format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params":"{long}"}}"#), "7"),
            (format!(r#"{{ "method" : "m", "id": "a-b", "params":"{long}"}}"#), "\"a-b\""),
            (format!(r#"{{"params":"{long}","jsonrpc":"2.0","id":18}}"#), "18"),
        ] {
            let text = format!("one\n{message}\ntwo\n");
            let told = format!("{} {:?}", message.len(), Some(id));
            assert_eq!(frames(text.as_bytes(), 1 << 20).await, ["one", &told, "two"]);
        }
        let nested = format!(r#"{{"params":{{"x":"{long}","id":1}}}}"#);
        let told = format!("{} None", nested.len());
        assert_eq!(frames(format!("{nested}\n").as_bytes(), 1000).await, [told]);
    }

    #[tokio::test]
    async fn the_rest_is_told_unless_its_line_was_too_long() {
        for (text, rest) in [("a\nb", "b"), ("a\n", ""), ("a\nbbbbbbbbbbbbbbbb", "")] {
            let mut reader = FrameReader::new(text.as_bytes(), 8);
            while reader.next().await.unwrap().is_some() {}
            assert_eq!(reader.rest(), rest.as_bytes(), "{text}");
        }
    }

    #[test]
    fn an_envelope_is_read_without_its_contents() {
        let line = br#"{"params":{"a":[1]},"method":"tools/call","id":"x"}"#;
        let envelope = Envelope::read(line).unwrap();
        assert_eq!(envelope.id.unwrap().get(), "\"x\"");
        assert_eq!(envelope.method.unwrap(), "tools/call");
        assert!(Envelope::read(br#"{"id":1,"id":2}"#).is_err());
        assert!(Envelope::read(br#"{"id":1,"result":{]}"#).is_err());
    }

    #[tokio::test]
    async fn who_writes_too_much_can_wait_until_it_is_read() {
        let (mut near, far) = tokio::io::duplex(64);
        let (writer, _task) = FrameWriter::spawn(far);
        let large = Bytes::from(vec![b'x'; BACKLOG + 1]);
        writer.drained().await;
        writer.send(vec![large]).await.unwrap();
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, writer.drained()).await.is_err());
        let mut read = vec![0; BACKLOG + 2];
        near.read_exact(&mut read).await.unwrap();
        writer.drained().await;
    }

    #[tokio::test]
    async fn messages_are_written_in_order_and_a_close_waits_for_them() {
        let (mut near, far) = tokio::io::duplex(64);
        let (writer, task) = FrameWriter::spawn(far);
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            near.read_to_string(&mut text).await.unwrap();
            text
        });
        for n in 0..50 {
            writer
                .send(vec![Bytes::from(format!("m{n}")), Bytes::from_static(b"!")])
                .await
                .unwrap();
        }
        writer.close();
        task.await.unwrap();
        let text = reading.await.unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(text.starts_with("m0!\nm1!\n") && text.ends_with("m49!\n"));
        assert!(writer.send(vec![]).await.is_err());
    }
}
