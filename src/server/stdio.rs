//! Serving over stdin and stdout: one process, one principal, one session.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rmcp::{
    RoleServer, ServiceExt as _,
    model::{CallToolRequestParams, ClientJsonRpcMessage, ErrorData, ServerJsonRpcMessage},
    service::ServerInitializeError,
    transport::Transport,
};
use rustix::fs::OFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
};
use tokio_util::sync::CancellationToken;

use super::{Server, lane::Lane};
use crate::{
    audit::AuditError,
    enforcement::{Enforcement, Shared},
    frame::{Closed, Envelope, Frame, FrameReader, FrameWriter},
    principal::Principal,
    session::Session,
};

/// How long calls that are under way get when the client leaves. rmcp gives its own as much.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a connection could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// stdin or stdout cannot be used.
    #[error("failed to open stdin and stdout: {0}")]
    Io(#[from] io::Error),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Serves one client on stdin and stdout, until it closes them or `stop` says so. At the end the
/// session is wiped and its children are gone.
pub async fn serve(
    shared: Arc<Shared>,
    principal: Principal,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let session = Arc::new(Session::open(principal));
    let limits = shared.config().limits.clone();
    let idle_timeout = shared.config().session.idle_timeout;
    let enforcement = Arc::new(Enforcement::open(shared, session)?);
    let (writer, writing) = FrameWriter::spawn(output()?);
    let lane = Arc::new(Lane::new(Arc::clone(&enforcement), writer.clone()));
    let transport = Stdio {
        frames: FrameReader::new(input()?, limits.request_bytes),
        limit: limits.request_bytes,
        writer: writer.clone(),
        lane: Arc::clone(&lane),
        began: false,
        complaint: None,
    };
    let watch = tokio::spawn(watch_idleness(Arc::clone(&enforcement), idle_timeout));
    let cause = tokio::select! {
        () = serve_client(transport, &enforcement) => "the client closed the connection",
        () = writer.closed() => "the client does not read any more",
        () = stop.cancelled() => "a signal",
    };
    watch.abort();
    tracing::info!(cause, "serving ends");
    // On a signal there is nobody to wait for.
    if !stop.is_cancelled() {
        tokio::select! {
            () = lane.drain(DRAIN) => {}
            () = stop.cancelled() => {}
        }
    }
    enforcement.close(cause).await;
    writer.close();
    let _ = tokio::time::timeout(DRAIN, writing).await;
    Ok(())
}

/// Serves until the client closes the connection.
async fn serve_client(transport: Stdio, enforcement: &Arc<Enforcement>) {
    match Box::pin(Server::new(Arc::clone(enforcement)).serve(transport)).await {
        Ok(service) => {
            let _ = service.waiting().await;
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        // Its `Display` repeats the client's message.
        Err(_) => tracing::error!("the MCP handshake failed"),
    }
}

/// Clears the context of a session that nobody uses any more.
async fn watch_idleness(enforcement: Arc<Enforcement>, idle_timeout: Duration) {
    loop {
        let left = idle_timeout.saturating_sub(enforcement.session().idle_for());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
            continue;
        }
        if enforcement.holds_anything() {
            enforcement.clear("idle timeout").await;
        }
        // Whatever is called from now on is not idle for as long again.
        tokio::time::sleep(idle_timeout).await;
    }
}

/// The client's end: what is for the lane goes there, the rest to rmcp.
struct Stdio {
    frames: FrameReader<Input>,
    limit: usize,
    writer: FrameWriter,
    lane: Arc<Lane>,
    /// Whether a request has come: rmcp gives up if anything else comes first.
    began: bool,
    /// An error for the client that waits for room: it is sent before anything more is read.
    complaint: Option<Bytes>,
}

impl Transport<RoleServer> for Stdio {
    type Error = Closed;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + 'static {
        let writer = self.writer.clone();
        async move {
            let message = serde_json::to_vec(&message).map_err(|_| Closed)?;
            writer.send(vec![message.into()]).await
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if let Some(complaint) = &self.complaint {
                // This future may be dropped while it waits; then the next one sends it.
                self.writer.send(vec![complaint.clone()]).await.ok()?;
                self.complaint = None;
            }
            // Nothing more is begun for a client that does not read what it has asked for.
            self.writer.drained().await;
            let line = match self.frames.next().await {
                Ok(Some(Frame::Line(line))) => line,
                Ok(Some(Frame::TooLong(line))) => {
                    let (bytes, limit) = (line.bytes, self.limit);
                    let why = format!(
                        "the message has {bytes} bytes, more than the {limit} that are taken: send \
                         less at once, or raise limits.request_bytes"
                    );
                    self.complain(line.id().as_deref(), &ErrorData::invalid_request(why, None));
                    continue;
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(%error, "stdin cannot be read");
                    return None;
                }
            };
            let Ok(message) = Envelope::read(&line) else {
                self.complain(
                    None,
                    &ErrorData::parse_error("the line is no JSON-RPC message", None),
                );
                continue;
            };
            if self.lane.take(&message) {
                self.began = true;
                continue;
            }
            if let (Some("tools/call"), Some(id)) = (message.method.as_deref(), message.id) {
                let params = message.params.map_or("{}", serde_json::value::RawValue::get);
                if serde_json::from_str::<CallToolRequestParams>(params).is_err() {
                    let words = "tools/call needs `name`, a string; `arguments` is an object";
                    self.complain(Some(id.get()), &ErrorData::invalid_params(words, None));
                    continue;
                }
            }
            match serde_json::from_slice::<ClientJsonRpcMessage>(&line) {
                Ok(request @ ClientJsonRpcMessage::Request(_)) => {
                    self.began = true;
                    return Some(request);
                }
                Ok(other) if self.began => return Some(other),
                // Only a request waits for an answer.
                Err(_) if message.method.is_some() && message.id.is_some() => {
                    let id = message.id.map(serde_json::value::RawValue::get);
                    let words = "the request does not have the form of its method";
                    self.complain(id, &ErrorData::invalid_request(words, None));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn close(&mut self) -> Result<(), Closed> {
        Ok(())
    }
}

impl Stdio {
    /// Answers what is no request that can be carried out.
    fn complain(&mut self, id: Option<&str>, error: &ErrorData) {
        let error = serde_json::to_string(error).unwrap_or_default();
        let id = id.unwrap_or("null");
        let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}");
        self.complaint = Some(message.into());
    }
}

type Input = Pin<Box<dyn AsyncRead + Send>>;
type Output = Pin<Box<dyn AsyncWrite + Send>>;

/// stdin over epoll. Clients hand over pipes, or a socket pair (Node); for anything else, a
/// terminal or a file, tokio's blocking reader does.
fn input() -> io::Result<Input> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(match kind(&fd)? {
        Kind::Pipe => {
            Box::pin(pipe::Receiver::from_owned_fd(reopened("/proc/self/fd/0", fd, false))?)
        }
        Kind::Socket => Box::pin(socket(fd)?),
        Kind::Other => Box::pin(tokio::io::stdin()),
    })
}

fn output() -> io::Result<Output> {
    let fd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(match kind(&fd)? {
        Kind::Pipe => Box::pin(pipe::Sender::from_owned_fd(reopened("/proc/self/fd/1", fd, true))?),
        Kind::Socket => Box::pin(socket(fd)?),
        Kind::Other => Box::pin(tokio::io::stdout()),
    })
}

enum Kind {
    Pipe,
    Socket,
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let file = std::fs::File::from(fd.try_clone()?).metadata()?.file_type();
    Ok(if file.is_fifo() {
        Kind::Pipe
    } else if file.is_socket() {
        Kind::Socket
    } else {
        Kind::Other
    })
}

/// The same pipe with a description of its own, where the system has a way to get one: being
/// non-blocking is a property of the description, which others may hold as well.
fn reopened(path: &str, fd: OwnedFd, write: bool) -> OwnedFd {
    let mut options = std::fs::OpenOptions::new();
    // Opening a named pipe waits for its other side, which may have gone meanwhile.
    options.read(!write).write(write).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    match options.open(path) {
        Ok(file) => file.into(),
        Err(_) => fd,
    }
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
