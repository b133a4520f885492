//! Where `eth_sendTransactionAsync` tells its result: a POST to a URL that the caller names. The
//! node would otherwise reach for callers what they cannot reach themselves, so the operator lists
//! the servers that may be told.

use crate::error::RpcError;
use alloy_primitives::B256;
use http::{
    Request, Uri,
    header::{CONTENT_TYPE, HOST},
    uri::Scheme,
};
use http_body_util::Full;
use hyper::{body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Sends that may be under way at the same time; GoQuorum's number.
const UNDER_WAY_MAX: usize = 100;
/// Time that a server has to take a result.
const POST_TIME: Duration = Duration::from_secs(10);
const EXPECTED: &str = "a URL such as http://127.0.0.1:9000/sent";

/// A URL with what an HTTP request needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallbackUrl {
    /// `host:port`.
    server: String,
    /// Path and query.
    path: String,
}

impl CallbackUrl {
    /// Reads a URL.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        let has_user = uri.authority()?.as_str().contains('@');
        if uri.scheme() != Some(&Scheme::HTTP) || has_user {
            return None;
        }
        let port = match uri.authority()?.as_str().strip_prefix(host)? {
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0_u16)?,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Self { server: format!("{}:{port}", host.to_ascii_lowercase()), path })
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        let stream = TcpStream::connect(&self.server).await.map_err(|cause| cause.to_string())?;
        let text = |cause: hyper::Error| cause.to_string();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
        let request = Request::post(&self.path)
            .header(HOST, &self.server)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|cause| cause.to_string())?;
        let response = sender.send_request(request);
        tokio::pin!(response, connection);
        let response = tokio::select! {
            response = &mut response => response,
            // The answer may have come with the end.
            _ = &mut connection => response.await,
        };
        let response = response.map_err(text)?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(format!("it answered {}", response.status())),
        }
    }
}

/// What a caller is told.
#[derive(Debug, Serialize)]
struct Told {
    /// The id of the call, as JSON text.
    id: String,
    #[serde(rename = "txHash", skip_serializing_if = "Option::is_none")]
    hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Who may be told, and how many sends are under way.
#[derive(Debug)]
pub(crate) struct Callbacks {
    allowed: Vec<String>,
    room: Arc<Semaphore>,
}

impl Callbacks {
    /// Lets results be told to the servers of these URLs.
    ///
    /// # Errors
    /// With a text that is no URL of an HTTP server.
    pub(crate) fn new(servers: &[String]) -> Result<Self, String> {
        let server = |text: &String| {
            let url = CallbackUrl::parse(text).filter(|url| url.path == "/");
            url.map(|url| url.server).ok_or_else(|| text.clone())
        };
        let allowed = servers.iter().map(server).collect::<Result<_, _>>()?;
        Ok(Self { allowed, room: Arc::new(Semaphore::new(UNDER_WAY_MAX)) })
    }

    /// The place of one more send.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, RpcError> {
        let full = |_| RpcError::Limit("too many concurrent requests".to_owned());
        Arc::clone(&self.room).try_acquire_owned().map_err(full)
    }

    /// Checks the URL that a caller names; an empty one is none, as for GoQuorum.
    pub(crate) fn check(&self, url: Option<&str>) -> Result<Option<CallbackUrl>, RpcError> {
        let Some(text) = url.filter(|text| !text.is_empty()) else { return Ok(None) };
        let url = CallbackUrl::parse(text).ok_or_else(|| {
            let text: String = text.chars().take(80).collect();
            RpcError::argument(0, format!("callbackUrl: {text:?} is not {EXPECTED}"))
        })?;
        match self.allowed.contains(&url.server) {
            true => Ok(Some(url)),
            false => {
                let text = format!("callbackUrl: {} is not in rpc.callbacks", url.server);
                Err(RpcError::argument(0, text))
            }
        }
    }
}

/// Tells a caller what came of its send. One that cannot be told has to look for itself.
pub(crate) async fn tell(url: CallbackUrl, id: String, result: Result<B256, RpcError>) {
    let (hash, error) = match result {
        Ok(hash) => (Some(hash), None),
        Err(cause) => (None, Some(cause.to_string())),
    };
    let told = match serde_json::to_vec(&Told { id, hash, error }) {
        Ok(body) => timeout(POST_TIME, url.post(body)).await,
        Err(cause) => Ok(Err(cause.to_string())),
    };
    let told = told.unwrap_or_else(|_| Err(format!("no answer within {POST_TIME:?}")));
    if let Err(cause) = told {
        tracing::warn!(server = %url.server, %cause, "a caller could not be told of its send");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(servers: &[&str]) -> Result<Callbacks, String> {
        Callbacks::new(&servers.iter().copied().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_servers_that_are_listed_are_told() {
        let callbacks = allowed(&["http://10.0.0.7:9000", "http://Hook.example"]).expect("servers");
        for url in
            ["http://10.0.0.7:9000/sent?by=1", "http://hook.example/", "http://hook.example:80"]
        {
            assert!(callbacks.check(Some(url)).expect(url).is_some(), "{url}");
        }
        assert_eq!(callbacks.check(None).expect("none"), None);
        assert_eq!(callbacks.check(Some("")).expect("none"), None);
        for (url, reason) in [
            ("http://10.0.0.7:9001/sent", "not in rpc.callbacks"),
            ("http://10.0.0.7/", "10.0.0.7:80 is not in rpc.callbacks"),
            ("http://hook.example.org/", "not in rpc.callbacks"),
            ("http://10.0.0.7:9000@169.254.169.254/", "is not a URL"),
            ("https://hook.example/", "is not a URL"),
            ("file:///etc/passwd", "is not a URL"),
            ("hook.example", "is not a URL"),
            ("http://:9000/", "is not a URL"),
            ("http://hook.example:99999/", "is not a URL"),
            ("http://hook.example:0/", "is not a URL"),
            ("http://hook.example:/", "is not a URL"),
            ("/sent", "is not a URL"),
        ] {
            let refused = callbacks.check(Some(url)).expect_err(url).to_string();
            assert!(refused.contains(reason), "{url}: {refused}");
        }
    }

    #[test]
    fn a_list_of_callbacks_names_servers_and_nothing_else() {
        for text in ["10.0.0.7:9000", "http://10.0.0.7/sent", "https://10.0.0.7", ""] {
            assert_eq!(allowed(&[text]).expect_err("refused"), text);
        }
    }

    #[test]
    fn a_place_is_free_again_when_a_send_is_done() {
        let callbacks = allowed(&[]).expect("none");
        let places: Vec<_> = (0..UNDER_WAY_MAX).map(|_| callbacks.admit().expect("room")).collect();
        let refused = callbacks.admit().expect_err("full");
        assert_eq!(refused.to_string(), "too many concurrent requests");
        drop(places);
        assert!(callbacks.admit().is_ok());
    }
}
