//! Stands between the server and the emulator, and makes leases end when a test wants them to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::emulator;

/// A proxy to the emulator.
pub struct Sts {
    endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// How long leases live from now on, in seconds.
    lifetime: AtomicU64,
    refusing: AtomicBool,
    issued: AtomicUsize,
    identified: AtomicUsize,
}

impl Sts {
    /// Starts it. It ends with the test process.
    pub fn start(lifetime: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            lifetime: AtomicU64::new(lifetime.as_secs()),
            refusing: AtomicBool::new(false),
            issued: AtomicUsize::new(0),
            identified: AtomicUsize::new(0),
        });
        let answering = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&answering);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { endpoint, shared }
    }

    /// What to set `AWS_ENDPOINT_URL` to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Leases live as long from now on.
    pub fn let_live(&self, lifetime: Duration) {
        self.shared.lifetime.store(lifetime.as_secs(), Ordering::SeqCst);
    }

    /// Issues none any more.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    /// How often it was asked who somebody is.
    pub fn identified(&self) -> usize {
        self.shared.identified.load(Ordering::SeqCst)
    }

    /// How many leases were issued.
    pub fn issued(&self) -> usize {
        self.shared.issued.load(Ordering::SeqCst)
    }
}

/// Answers the one request of a connection.
fn answer(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 2)?;
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        if name == "content-length" {
            length = line.split_once(':')?.1.trim().parse().ok()?;
        }
        // The signature is over the host that the client knows.
        if name != "connection" {
            head.push_str(&line);
        }
        if reader.fill_buf().ok()?.starts_with(b"\r\n") {
            reader.consume(2);
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked = String::from_utf8_lossy(&body).into_owned();
    if asked.starts_with("Action=GetCallerIdentity&") {
        shared.identified.fetch_add(1, Ordering::SeqCst);
    }
    let issues = ["AssumeRole", "GetFederationToken"]
        .iter()
        .any(|action| asked.starts_with(&format!("Action={action}&")));
    let reply = if issues && shared.refusing.load(Ordering::SeqCst) {
        String::from(
            "HTTP/1.1 403 Forbidden\r\n\r\n<ErrorResponse><Error><Code>AccessDenied</Code>\
             <Message>no more</Message></Error></ErrorResponse>",
        )
    } else {
        let address = emulator::endpoint().strip_prefix("http://").unwrap();
        let mut upstream = TcpStream::connect(address).unwrap();
        upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
        upstream.write_all(&body).ok()?;
        let mut reply = String::new();
        upstream.read_to_string(&mut reply).ok()?;
        reply
    };
    let (head, mut body) = reply.split_once("\r\n\r\n").map(|(h, b)| (h, b.to_owned()))?;
    assert!(!head.to_lowercase().contains("chunked"), "{head}");
    if issues && let Some(start) = body.find("<Expiration>") {
        shared.issued.fetch_add(1, Ordering::SeqCst);
        let end = body.find("</Expiration>")?;
        let lifetime = Duration::from_secs(shared.lifetime.load(Ordering::SeqCst));
        let expiration = subrosa::clock::rfc3339_seconds(SystemTime::now() + lifetime);
        body.replace_range(start + "<Expiration>".len()..end, &expiration);
    }
    let mut lines: Vec<&str> = head.lines().collect();
    lines.retain(|line| {
        !["content-length", "connection"]
            .contains(&&*line.split(':').next().unwrap().to_lowercase())
    });
    let head = lines.join("\r\n");
    let length = body.len();
    let answer = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).ok()
}
