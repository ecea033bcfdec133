//! The loopback credentials endpoint, by which a child gets its lease: the container credential
//! provider's protocol (AWS SDKs and Tools Reference Guide, "Container credential provider").
//!
//! The token is compared in constant time and the `Host` is checked, so that neither another
//! process nor a web page that was led here by DNS gets anything. It lives as long as its child.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq as _;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{clock, ids, lease::Lease, secret::Secret};

/// The end of life that is told, at most this far ahead. SDKs ask again only near the end of what
/// they were told: with ten minutes or more, botocore would go on using a lease that was revoked.
const ADVERTISED: Duration = Duration::from_mins(2);
/// More connections at once wait.
const CONNECTIONS: usize = 64;

/// The endpoint of one child.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: String,
    path: String,
    token: Secret,
    lease: Mutex<Arc<Lease>>,
    /// Cancelled with the child or with the session's context, whichever ends first.
    over: CancellationToken,
}

impl Endpoint {
    /// Listens on a port of the loopback interface that the system chooses. It gives nothing any
    /// more once `over` is cancelled.
    pub(super) async fn start(lease: Arc<Lease>, over: &CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            host: address.to_string(),
            path: format!("/{}", ids::random("credentials-")),
            token: Secret::new(ids::random("")),
            lease: Mutex::new(lease),
            over: over.child_token(),
        });
        let over = shared.over.clone();
        tokio::spawn(over.run_until_cancelled_owned(serve(listener, Arc::clone(&shared))));
        Ok(Self { address, shared })
    }

    /// What the child is told in `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub(super) fn uri(&self) -> String {
        format!("http://{}{}", self.address, self.shared.path)
    }

    /// What the child is told in `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
    pub(super) fn token(&self) -> &Secret {
        &self.shared.token
    }

    /// Ends it when it is dropped.
    pub(super) fn guard(&self) -> DropGuard {
        self.shared.over.clone().drop_guard()
    }

    /// Gives this lease from now on.
    pub(super) fn set(&self, lease: Arc<Lease>) {
        *self.shared.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.over.cancel();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&shared, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(3))
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let header = |name| request.headers().get(name).map(header::HeaderValue::as_bytes);
    #[expect(clippy::disallowed_methods, reason = "compared with what the child sent")]
    let token = shared.token.expose_secret().as_bytes();
    if header(header::HOST) != Some(shared.host.as_bytes()) {
        return refusal(StatusCode::MISDIRECTED_REQUEST, "WrongHost", "not served under this name");
    }
    // One answer for a wrong path, method or token, so that nothing can be found by trying.
    let known = request.uri().path() == shared.path && request.method() == Method::GET;
    let authorized = header(header::AUTHORIZATION).unwrap_or_default().ct_eq(token);
    if !known || !bool::from(authorized) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", "the authorization token is wrong");
    }
    let lease = shared.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if shared.over.is_cancelled() || !lease.outlives(Duration::ZERO) {
        let words = "the credential lease has ended or was revoked";
        return refusal(StatusCode::FORBIDDEN, "LeaseEnded", words);
    }
    json(StatusCode::OK, &credentials(&lease))
}

fn credentials(lease: &Lease) -> serde_json::Value {
    let keys = lease.keys();
    let expiration = lease.expires_at().min(clock::now() + ADVERTISED);
    #[expect(clippy::disallowed_methods, reason = "this is the wire that is meant to carry it")]
    let (secret, token) = (
        keys.secret_access_key.expose_secret(),
        keys.session_token.as_ref().map(Secret::expose_secret).unwrap_or_default(),
    );
    serde_json::json!({
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": clock::rfc3339_seconds(expiration),
    })
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, &serde_json::json!({"code": code, "message": message}))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
