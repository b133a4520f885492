//! JSON-RPC before the methods: unknown names, batches and the limits whose texts must be geth's.

use crate::{RpcLimits, error::RpcError};
use jsonrpsee::{
    core::{
        middleware::{Batch, BatchEntry, Notification, Request},
        server::{BatchResponseBuilder, MethodResponse},
    },
    server::middleware::rpc::RpcServiceT,
    types::{ErrorCode, ErrorObjectOwned, Id, error::TOO_MANY_SUBSCRIPTIONS_CODE},
};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;
use tower::Layer;

/// Methods that are ordered among themselves and may run at the same time inside a batch.
const SEND: &str = "eth_sendRawTransaction";
const SUBSCRIBE: &str = "eth_subscribe";
/// The method that tells the id of its call to others.
const SEND_DETACHED: &str = "eth_sendTransactionAsync";
/// Room in a batch's response for the brackets and for errors in place of results.
const BATCH_OVERHEAD_BYTES: usize = 1024;

/// The id of a call as JSON text.
#[derive(Clone)]
pub(crate) struct CallId(pub(crate) String);

/// Wraps the JSON-RPC service of a connection.
#[derive(Clone)]
pub(crate) struct CallGateLayer {
    pub(crate) known: Arc<HashSet<&'static str>>,
    pub(crate) limits: Arc<RpcLimits>,
}

impl<S> Layer<S> for CallGateLayer {
    type Service = CallGate<S>;

    fn layer(&self, inner: S) -> CallGate<S> {
        CallGate { inner, known: Arc::clone(&self.known), limits: Arc::clone(&self.limits) }
    }
}

/// The service behind [`CallGateLayer`].
#[derive(Clone)]
pub(crate) struct CallGate<S> {
    inner: S,
    known: Arc<HashSet<&'static str>>,
    limits: Arc<RpcLimits>,
}

impl<S> RpcServiceT for CallGate<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            NotificationResponse = MethodResponse,
            BatchResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    /// A send takes its place in the queue when this future is first polled.
    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let gate = self.clone();
        async move { gate.one(request).await }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let gate = self.clone();
        async move { gate.many(batch).await }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        // A notification gets no answer, so nothing is done for it either.
        let extensions = notification.extensions;
        async move { MethodResponse::notification().with_extensions(extensions) }
    }
}

impl<S> CallGate<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    async fn one(&self, mut request: Request<'_>) -> MethodResponse {
        let name = request.method_name();
        if !self.known.contains(name) {
            let error = RpcError::method_not_found(name);
            return failed(request.id, error);
        }
        if name == SEND_DETACHED {
            let id = serde_json::to_string(&request.id).unwrap_or_default();
            request.extensions_mut().insert(CallId(id));
            return self.inner.call(request).await;
        }
        if name != SUBSCRIBE {
            return self.inner.call(request).await;
        }
        let id = request.id.clone().into_owned();
        let response = self.inner.call(request).await;
        match response.as_error_code() {
            Some(TOO_MANY_SUBSCRIPTIONS_CODE) => {
                let allowed = self.limits.subscriptions;
                let text = format!("too many subscriptions, {allowed} allowed per connection");
                failed(id, RpcError::Limit(text))
            }
            // What jsonrpsee says when the transport carries no subscriptions.
            Some(code) if code == ErrorCode::InternalError.code() => {
                failed(id, RpcError::NotificationsUnsupported)
            }
            _ => response,
        }
    }

    /// Entries run one after the other, each judged alone; neighbouring sends share their wait.
    async fn many(&self, batch: Batch<'_>) -> MethodResponse {
        let (got, allowed) = (batch.len(), self.limits.batch_calls);
        if got == 0 {
            return failed(Id::Null, RpcError::InvalidRequest("empty batch".into()));
        }
        if got > allowed {
            let text = format!("batch too large ({got} > {allowed})");
            return failed(Id::Null, RpcError::InvalidRequest(text));
        }
        let deadline = Instant::now() + self.limits.batch_time;
        let mut out = BatchResponse::new(self.limits.response_bytes, got);
        let mut sends = Vec::new();
        for entry in batch {
            let request = match entry {
                Ok(BatchEntry::Call(request)) if request.method_name() == SEND => {
                    sends.push(self.one(request));
                    continue;
                }
                other => other,
            };
            for response in futures::future::join_all(sends.drain(..)).await {
                out.push(response);
            }
            match request {
                Ok(BatchEntry::Call(request)) => {
                    let response = match out.refusal(deadline) {
                        Some(error) => failed(request.id, error),
                        None => self.one(request).await,
                    };
                    out.push(response);
                }
                Ok(BatchEntry::Notification(_)) => {}
                Err(error) => {
                    let (error, id) = error.into_parts();
                    out.push(MethodResponse::error(id, error));
                }
            }
        }
        for response in futures::future::join_all(sends).await {
            out.push(response);
        }
        out.finish()
    }
}

fn failed(id: Id<'_>, error: RpcError) -> MethodResponse {
    MethodResponse::error(id, ErrorObjectOwned::from(error))
}

/// The responses of a batch, together no larger than one response may be.
struct BatchResponse {
    builder: BatchResponseBuilder,
    bytes: usize,
    limit: usize,
}

impl BatchResponse {
    fn new(limit: usize, calls: usize) -> Self {
        // Refusals are counted too, but never dropped: the builder's own limit leaves them room.
        let room = limit + calls * BATCH_OVERHEAD_BYTES;
        Self { builder: BatchResponseBuilder::new_with_limit(room), bytes: 0, limit }
    }

    /// Why no further entry may run.
    fn refusal(&self, deadline: Instant) -> Option<RpcError> {
        if self.bytes > self.limit {
            Some(RpcError::response_too_large(self.limit))
        } else if Instant::now() > deadline {
            Some(RpcError::Timeout("request timed out".into()))
        } else {
            None
        }
    }

    fn push(&mut self, response: MethodResponse) {
        self.bytes += response.as_json().get().len();
        let too_large = self.bytes > self.limit && response.is_success();
        let response = if too_large {
            // The id is read back from the response: it is needed only on this path.
            let id = response_id(response.as_json().get());
            failed(id, RpcError::response_too_large(self.limit))
        } else {
            response
        };
        if self.builder.append(response).is_err() {
            tracing::warn!("a batch response did not fit its builder");
        }
    }

    fn finish(self) -> MethodResponse {
        match self.builder.is_empty() {
            true => MethodResponse::notification(),
            false => MethodResponse::from_batch(self.builder.finish()),
        }
    }
}

#[derive(serde::Deserialize)]
struct WithId<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

fn response_id(json: &str) -> Id<'static> {
    serde_json::from_str::<WithId<'_>>(json).map_or(Id::Null, |response| response.id.into_owned())
}
