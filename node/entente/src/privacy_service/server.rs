//! HTTP: listens on addresses and sockets, bounds what clients may take up, and stops.

use super::{
    api::{Api, Call, Reply, refusal},
    failure::Failure,
};
use entente_privacy::PAYLOAD_BYTES_MAX;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};

/// Largest body, in bytes: the largest payload in base64, and room for keys and hashes.
const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 3 * 4 + 128 * 1024;
/// Most headers of one request, in bytes; 256 keys in `c11n-to` are 12 KiB.
const HEADER_BYTES_MAX: usize = 64 * 1024;
const HEADER_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a request may wait for its turn.
const TURN_TIME: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 256;
/// Requests of one door under way at the same time: their bodies are all in memory.
const REQUESTS_MAX: usize = 32;
/// How long open requests may finish after the service was told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Where clients come in.
pub(super) struct Door {
    api: Arc<Api>,
    third_party: bool,
    /// Names that a Host header may have beside addresses; `None`: not looked at.
    hosts: Option<Vec<String>>,
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

/// A listening socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Door {
    /// A door with places of its own.
    pub(super) fn new(api: Arc<Api>, third_party: bool, hosts: Option<Vec<String>>) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        Self { api, third_party, hosts, connections, requests }
    }

    /// Serves until `stop` says so, then waits some seconds for what is open.
    pub(super) async fn serve(
        self: Arc<Self>,
        listener: Listener,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told_to_stop(&mut stop) => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(cause) => {
                    // Out of descriptors, or a client that left: the next one may fare better.
                    tracing::debug!(%cause, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            // Over the cap the stream is dropped, which closes it.
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
            let (door, stop) = (Arc::clone(&self), stop.clone());
            tokio::spawn(async move {
                door.serve_connection(stream, stop).await;
                drop(permit);
            });
        }
        drop(listener);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        if tokio::time::timeout(DRAIN_TIME, self.connections.acquire_many(all)).await.is_err() {
            tracing::debug!("connections were cut while requests were open");
        }
    }

    async fn serve_connection(
        self: Arc<Self>,
        stream: Box<dyn Stream>,
        mut stop: watch::Receiver<bool>,
    ) {
        let service = service_fn(|request| {
            let door = Arc::clone(&self);
            async move { Ok::<_, Infallible>(door.take(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = told_to_stop(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(cause) = result {
            tracing::debug!(%cause, "a connection ended");
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Reply {
        match self.whole(request).await {
            Ok(call) => self.api.answer(call, self.third_party).await,
            Err(failure) => refusal(&failure),
        }
    }

    /// Reads the body within its size and time.
    async fn whole(&self, request: Request<Incoming>) -> Result<Call, Failure> {
        let (parts, body) = request.into_parts();
        self.check_host(&parts)?;
        let too_large = || {
            let text = format!("body: larger than {BODY_BYTES_MAX} bytes");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        let declared = parts.headers.get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
            return Err(too_large());
        }
        let turn = Arc::clone(&self.requests).acquire_owned();
        let busy = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests, try again");
        let permit = match tokio::time::timeout(TURN_TIME, turn).await {
            Ok(Ok(permit)) => Arc::new(permit),
            _ => return Err(busy()),
        };
        let body = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIME, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(cause)) if cause.is::<LengthLimitError>() => return Err(too_large()),
            Ok(Err(cause)) => return Err(Failure::field("body", cause)),
            Err(_) => {
                return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "body: took too long"));
            }
        };
        Ok(Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(ToOwned::to_owned),
            headers: parts.headers,
            body,
            permit,
        })
    }

    /// Against DNS rebinding: a web page could read payloads by a name that leads here.
    fn check_host(&self, parts: &http::request::Parts) -> Result<(), Failure> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let named = parts.headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
        let host = named.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        match host.is_none_or(|host| is_allowed(hosts, host)) {
            true => Ok(()),
            false => Err(Failure::new(StatusCode::FORBIDDEN, "host not in q2t.allowed_hosts")),
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error says that the service is gone.
    drop(stop.wait_for(|stops| *stops).await);
}

fn is_allowed(hosts: &[String], host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    // A rebinding attack needs a name; an address cannot be rebound.
    address.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_listed() {
        let hosts = vec!["localhost".to_owned(), "manager-1".to_owned()];
        for (host, allowed) in [
            ("localhost:9101", true),
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("MANAGER-1", true),
            ("evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(&hosts, host), allowed, "{host}");
        }
        assert!(is_allowed(&["*".to_owned()], "evil.example"));
    }
}
