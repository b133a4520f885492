//! Listens, spreads connections over threads, and stops.
//!
//! A connection stays on one single-threaded runtime: jsonrpsee starts a task per call, and only
//! there do tasks start in the order in which the calls arrived (what pipelined sends rely on).
//! Work that takes time leaves for the node's own runtime.

use crate::{
    Context, RpcConfig,
    callbacks::Callbacks,
    context::Service,
    extension,
    filters::Filters,
    methods,
    middleware::{
        calls::CallGateLayer,
        http::{HttpGateLayer, HttpRules},
    },
    send_desk::{SendDesk, SendRules},
    subscriptions,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use jsonrpsee::server::{
    BatchRequestConfig, Methods, PingConfig, Server, ServerConfig, ServerHandle, StopHandle,
    middleware::rpc::RpcServiceBuilder, stop_channel,
};
use std::{
    collections::HashSet,
    io,
    net::{SocketAddr, TcpStream},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::{self, Handle},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinHandle,
};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// How long open calls may finish after the server was told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Room beside a result for the envelope of its response, in bytes.
const ENVELOPE_BYTES: u32 = 64 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_INACTIVE: Duration = Duration::from_secs(60);
/// Most headers of one HTTP request, in bytes.
const HEADER_BYTES: usize = 64 * 1024;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcStartError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen for JSON-RPC on {address}: {cause}")]
    Bind {
        /// Address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A connection thread could not be started.
    #[error("cannot start a thread for JSON-RPC: {0}")]
    Thread(io::Error),
    /// An origin is not one.
    #[error("rpc.cors: {0:?} is not an origin such as https://example.org")]
    Origin(String),
    /// A server that may be told of sends is not one.
    #[error("rpc.callbacks: {0:?} is not a server such as http://127.0.0.1:9000")]
    Callback(String),
    /// Two methods have one name.
    #[error("JSON-RPC methods: {0}")]
    Methods(String),
}

/// A running server. Dropping it stops it without waiting; [`RpcServer::stop`] waits.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    handle: ServerHandle,
    accepting: JoinHandle<()>,
    threads: Vec<ConnectionThread>,
}

impl RpcServer {
    /// Starts to listen. Must be called inside the node's tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be used or the configuration makes no sense.
    pub async fn start(config: RpcConfig, context: Context) -> Result<Self, RpcStartError> {
        let bind_error = |cause| RpcStartError::Bind { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let cors = cors_layer(&config.cors_origins)?;
        let callbacks = Callbacks::new(&config.callbacks).map_err(RpcStartError::Callback)?;
        let service = Arc::new(service(&config, context, callbacks));
        let methods = methods(&service)?;
        let threads = (0..config.connection_threads.clamp(1, 64))
            .map(ConnectionThread::start)
            .collect::<Result<Vec<_>, _>>()
            .map_err(RpcStartError::Thread)?;
        let (stop, handle) = stop_channel();
        if service.context.private.is_some() {
            let (heads, stopped) = (service.context.events.heads.subscribe(), stop.clone());
            tokio::spawn(extension::run(Arc::clone(&service), heads, stopped));
        }
        let connections = config.limits.connections;
        let acceptor = Acceptor {
            connections: Arc::new(Semaphore::new(connections as usize)),
            handles: threads.iter().map(|thread| thread.runtime.clone()).collect(),
            stack: Stack::new(config, service, methods, cors, stop),
            all: connections,
        };
        let accepting = tokio::spawn(acceptor.run(listener));
        Ok(Self { address, handle, accepting, threads })
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits a few seconds for open calls.
    pub async fn stop(self) {
        // An error says that it has stopped already.
        self.handle.stop().ok();
        drop(self.accepting.await);
        drop(self.threads);
    }
}

fn service(config: &RpcConfig, context: Context, callbacks: Callbacks) -> Service {
    let runtime = Handle::current();
    let rules = SendRules {
        spec: Arc::clone(&context.spec),
        senders: Arc::clone(&context.senders),
        allow_unprotected: config.allow_unprotected_transactions,
    };
    let desk = SendDesk::start(&runtime, rules, Arc::clone(&context.backend));
    Service {
        context,
        limits: config.limits.clone(),
        namespaces: config.namespaces.clone(),
        filters: Filters::new(&config.limits),
        desk,
        callbacks,
        markers: config.privacy_markers,
        runtime,
        heavy: Arc::new(Semaphore::new(config.limits.heavy_calls)),
        waiting: AtomicUsize::new(0),
    }
}

fn methods(service: &Arc<Service>) -> Result<Methods, RpcStartError> {
    let failed =
        |cause: jsonrpsee::server::RegisterMethodError| RpcStartError::Methods(cause.to_string());
    let mut module = methods::register(service).map_err(failed)?;
    subscriptions::register(&mut module).map_err(failed)?;
    Ok(module.into())
}

fn cors_layer(origins: &[String]) -> Result<Option<CorsLayer>, RpcStartError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let layer = CorsLayer::new().allow_methods([http::Method::POST, http::Method::GET]);
    let layer = layer.allow_headers([http::header::CONTENT_TYPE, http::header::AUTHORIZATION]);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(Some(layer.allow_origin(Any)));
    }
    let parse = |origin: &String| {
        http::HeaderValue::from_str(origin).map_err(|_| RpcStartError::Origin(origin.clone()))
    };
    let list = origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(layer.allow_origin(AllowOrigin::list(list))))
}

/// A thread with a runtime of its own; it ends when this is dropped.
#[derive(Debug)]
struct ConnectionThread {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl ConnectionThread {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name(format!("rpc-{index}"))
            .spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Self { runtime: handle, _stop: stop })
    }
}

/// Everything a connection is served by.
struct Stack {
    methods: Methods,
    cors: Option<CorsLayer>,
    rules: Arc<HttpRules>,
    gate: CallGateLayer,
    config: ServerConfig,
    header_time: Duration,
    stop: StopHandle,
}

struct Acceptor {
    connections: Arc<Semaphore>,
    handles: Vec<Handle>,
    stack: Stack,
    /// How many connections there may be.
    all: u32,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut next_id = 0_u32;
        let mut threads = self.handles.iter().cycle();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stack.stop.clone().shutdown() => break,
            };
            let stream = match accepted.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => stream,
                Err(cause) => {
                    // Out of descriptors, or a client that left: the next one may fare better.
                    tracing::debug!(%cause, "a JSON-RPC connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            // Over the cap the stream is dropped, which closes it.
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
            next_id = next_id.wrapping_add(1);
            if let Some(thread) = threads.next() {
                self.stack.serve(thread, stream, permit, next_id);
            }
        }
        drop(listener);
        let drained = self.connections.acquire_many(self.all);
        if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
            tracing::debug!("JSON-RPC connections were cut while calls were open");
        }
    }
}

impl Stack {
    fn new(
        config: RpcConfig,
        service: Arc<Service>,
        methods: Methods,
        cors: Option<CorsLayer>,
        stop: StopHandle,
    ) -> Self {
        let known: HashSet<_> = methods.method_names().collect();
        let limits = Arc::new(config.limits);
        let rules = HttpRules {
            service,
            allowed_hosts: config.allowed_hosts,
            origins: config.cors_origins,
            private_states: config.private_states,
        };
        Self {
            methods,
            cors,
            rules: Arc::new(rules),
            config: server_config(&limits),
            header_time: limits.header_time,
            gate: CallGateLayer { known: Arc::new(known), limits },
            stop,
        }
    }

    /// Serves one connection on its thread.
    fn serve(&self, thread: &Handle, stream: TcpStream, permit: OwnedSemaphorePermit, id: u32) {
        let permit = Arc::new(permit);
        let gate = HttpGateLayer { rules: Arc::clone(&self.rules), permit: Arc::clone(&permit) };
        let http = tower::ServiceBuilder::new().option_layer(self.cors.clone()).layer(gate);
        let jsonrpc = Server::builder()
            .set_config(self.config.clone())
            .set_http_middleware(http)
            .set_rpc_middleware(RpcServiceBuilder::new().layer(self.gate.clone()))
            .to_service_builder()
            .connection_id(id)
            .build(self.methods.clone(), self.stop.clone());
        let stopped = self.stop.clone().shutdown();
        let header_time = self.header_time;
        thread.spawn(async move {
            let Ok(stream) = nonblocking(stream) else { return };
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(header_time)
                .max_buf_size(HEADER_BYTES);
            let connection = builder.serve_connection_with_upgrades(
                TokioIo::new(stream),
                TowerToHyperService::new(jsonrpc),
            );
            tokio::pin!(connection, stopped);
            let result = tokio::select! {
                result = &mut connection => result,
                () = &mut stopped => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(cause) = result {
                tracing::debug!(%cause, "a JSON-RPC connection ended");
            }
            drop(permit);
        });
    }
}

fn nonblocking(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    tokio::net::TcpStream::from_std(stream)
}

fn server_config(limits: &crate::RpcLimits) -> ServerConfig {
    let response = u32::try_from(limits.response_bytes).unwrap_or(u32::MAX);
    let ping = PingConfig::new()
        .ping_interval(PING_INTERVAL)
        .inactive_limit(PING_INACTIVE)
        .max_failures(2);
    ServerConfig::builder()
        .max_request_body_size(limits.request_bytes)
        // Results are measured as they are written; this only leaves room for the envelope.
        .max_response_body_size(response.saturating_add(ENVELOPE_BYTES))
        .max_connections(limits.connections)
        .max_subscriptions_per_connection(limits.subscriptions)
        .set_message_buffer_capacity(limits.message_buffer)
        // The gate in `middleware/calls.rs` counts, with geth's texts.
        .set_batch_request_config(BatchRequestConfig::Unlimited)
        .enable_ws_ping(ping)
        .set_id_provider(subscriptions::HexIds)
        .build()
}
