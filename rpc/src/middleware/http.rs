//! HTTP before JSON-RPC: Host and Origin checks, probes, and bodies that are too large or too slow.

use super::private_state::choose;
use crate::{
    StateAccess,
    context::Service,
    health::{Page, page},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse, ws::is_upgrade_request},
};
use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;
use tower::{Layer, Service as TowerService};

const TEXT: &str = "text/plain; charset=utf-8";

/// Wraps the JSON-RPC service of a connection.
#[derive(Clone)]
pub(crate) struct HttpGateLayer {
    pub(crate) rules: Arc<HttpRules>,
    /// The connection's place among the open ones.
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// Who may ask, and how much.
pub(crate) struct HttpRules {
    pub(crate) service: Arc<Service>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) private_states: Vec<StateAccess>,
}

impl<S> Layer<S> for HttpGateLayer {
    type Service = HttpGate<S>;

    fn layer(&self, inner: S) -> HttpGate<S> {
        HttpGate { inner, rules: Arc::clone(&self.rules), permit: Arc::clone(&self.permit) }
    }
}

/// The service behind [`HttpGateLayer`].
#[derive(Clone)]
pub(crate) struct HttpGate<S> {
    inner: S,
    rules: Arc<HttpRules>,
    permit: Arc<OwnedSemaphorePermit>,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

impl<S> TowerService<HttpRequest<Incoming>> for HttpGate<S>
where
    S: TowerService<HttpRequest<HttpBody>, Response = HttpResponse, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest<Incoming>) -> ResponseFuture {
        let upgrade = is_upgrade_request(&request);
        if let Err((status, text)) = self.rules.admit(request.headers(), request.uri(), upgrade) {
            return answered(response(status, TEXT, text));
        }
        match choose(&self.rules.private_states, request.headers(), request.uri()) {
            Ok(state) => drop(request.extensions_mut().insert(state)),
            Err((status, text)) => return answered(response(status, TEXT, text)),
        }
        if !upgrade && matches!(*request.method(), Method::GET | Method::HEAD) {
            let (path, query) = (request.uri().path(), request.uri().query());
            match page(&self.rules.service, path, query) {
                Some(Page { status, content_type, body }) => {
                    return answered(response(status, content_type, body));
                }
                None if path != "/" => {
                    return answered(response(StatusCode::NOT_FOUND, TEXT, "no such page\n"));
                }
                None => {}
            }
        }
        if *request.method() != Method::POST {
            // A WebSocket, or something that the inner service refuses with 405. A WebSocket lives on
            // after its HTTP connection ended; its extensions hold the permit.
            request.extensions_mut().insert(Arc::clone(&self.permit));
            return Box::pin(self.inner.call(request.map(HttpBody::new)));
        }
        let (inner, rules) = (self.inner.clone(), Arc::clone(&self.rules));
        Box::pin(call_with_whole_body(inner, rules, request))
    }
}

/// Reads the body within its size and time, then passes the request on.
async fn call_with_whole_body<S>(
    mut inner: S,
    rules: Arc<HttpRules>,
    request: HttpRequest<Incoming>,
) -> Result<HttpResponse, BoxError>
where
    S: TowerService<HttpRequest<HttpBody>, Response = HttpResponse, Error = BoxError>,
{
    let limits = &rules.service.limits;
    let limit = limits.request_bytes as usize;
    let too_large = || {
        let text = format!("the request body is larger than {limit} bytes\n");
        response(StatusCode::PAYLOAD_TOO_LARGE, TEXT, text)
    };
    let (parts, body) = request.into_parts();
    if declared_length(&parts.headers).is_some_and(|length| length > limit as u64) {
        return Ok(too_large());
    }
    match tokio::time::timeout(limits.body_time, Limited::new(body, limit).collect()).await {
        Err(_) => {
            let text = "the request body took too long\n";
            Ok(response(StatusCode::REQUEST_TIMEOUT, TEXT, text))
        }
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Ok(too_large()),
        Ok(Err(_)) => Ok(response(StatusCode::BAD_REQUEST, TEXT, "broken request body\n")),
        Ok(Ok(body)) => {
            let body = HttpBody::new(http_body_util::Full::new(body.to_bytes()));
            inner.call(HttpRequest::from_parts(parts, body)).await
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn answered(response: HttpResponse) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(response)))
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<HttpBody>,
) -> HttpResponse {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

impl HttpRules {
    /// Host against DNS rebinding, Origin against web pages that open WebSockets (for plain HTTP
    /// the browser asks for CORS itself).
    fn admit(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        upgrade: bool,
    ) -> Result<(), (StatusCode, &'static str)> {
        // HTTP/2 has the host in the URI, HTTP/1.0 may have none.
        let named = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
        let host = named.or_else(|| uri.authority().map(http::uri::Authority::as_str));
        if host.is_some_and(|host| !self.host_allowed(host)) {
            return Err((StatusCode::FORBIDDEN, "host not in rpc.allowed_hosts\n"));
        }
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if upgrade && origin.is_some_and(|origin| !is_listed(&self.origins, origin)) {
            return Err((StatusCode::FORBIDDEN, "origin not in rpc.cors\n"));
        }
        Ok(())
    }

    fn host_allowed(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        // A rebinding attack needs a name; an address cannot be rebound.
        address.parse::<IpAddr>().is_ok() || is_listed(&self.allowed_hosts, name)
    }
}

fn is_listed(list: &[String], value: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(value))
}
