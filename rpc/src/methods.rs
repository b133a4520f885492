//! The table of every method and how it is run.

mod admin;
mod blocks;
mod calls;
mod chain;
mod clique;
mod debug;
mod evidence;
mod extension;
mod fees;
mod filters;
mod private;
mod raft;
mod sending;
mod state;
mod transactions;
mod txpool;
mod validators;

pub(crate) use blocks::finalized;
pub(crate) use calls::{call_error, read_request};
pub(crate) use sending::{decode, send};

use crate::{
    Namespace,
    backend::BoxFuture,
    context::Service,
    error::{Answer, RpcError},
    middleware::calls::CallId,
    params::Params,
};
use entente_chain::private::PrivateStateId;
use http::Extensions;
use jsonrpsee::{
    RpcModule, core::RegisterMethodError, server::ConnectionId, types::ErrorObjectOwned,
};
use std::sync::Arc;

/// The private state that a caller chose when it connected or asked.
pub(crate) fn chosen_state(caller: &Extensions) -> PrivateStateId {
    caller.get().cloned().unwrap_or_else(PrivateStateId::default_state)
}

/// Where a method runs.
#[derive(Clone, Copy)]
enum Run {
    /// On the connection's thread: microseconds, at most one read of the database.
    Inline(fn(&Service, &Params) -> Answer),
    /// On a blocking thread, when its turn has come.
    Heavy(fn(&Service, &Params) -> Answer),
    /// Waits for another task of the node.
    Waits(fn(Arc<Service>, Params) -> BoxFuture<Answer>),
}

/// One method.
#[derive(Clone, Copy)]
struct Method {
    name: &'static str,
    /// Most parameters it takes.
    most: usize,
    run: Run,
}

const fn inline(name: &'static str, most: usize, run: fn(&Service, &Params) -> Answer) -> Method {
    Method { name, most, run: Run::Inline(run) }
}

const fn heavy(name: &'static str, most: usize, run: fn(&Service, &Params) -> Answer) -> Method {
    Method { name, most, run: Run::Heavy(run) }
}

const fn waits(
    name: &'static str,
    most: usize,
    run: fn(Arc<Service>, Params) -> BoxFuture<Answer>,
) -> Method {
    Method { name, most, run: Run::Waits(run) }
}

fn table() -> impl Iterator<Item = &'static Method> {
    [
        chain::METHODS,
        state::METHODS,
        blocks::METHODS,
        transactions::METHODS,
        sending::METHODS,
        private::METHODS,
        extension::METHODS,
        fees::METHODS,
        calls::METHODS,
        filters::METHODS,
        txpool::METHODS,
        validators::METHODS,
        raft::METHODS,
        clique::METHODS,
        admin::METHODS,
        debug::METHODS,
        evidence::METHODS,
    ]
    .into_iter()
    .flatten()
}

/// Registers the methods of the namespaces that are switched on.
pub(crate) fn register(service: &Arc<Service>) -> Result<RpcModule<Service>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(service));
    for method in table() {
        if is_offered(method.name, &service.namespaces) {
            add(&mut module, *method)?;
        }
    }
    Ok(module)
}

/// `rpc_modules` is always there: it tells which namespaces are.
fn is_offered(name: &str, namespaces: &[Namespace]) -> bool {
    let prefix = name.split('_').next().unwrap_or_default();
    prefix == "rpc" || namespaces.iter().any(|namespace| namespace.prefix() == prefix)
}

fn add(module: &mut RpcModule<Service>, method: Method) -> Result<(), RegisterMethodError> {
    let Method { name, most, run } = method;
    let read = move |raw: Option<&str>, caller: &Extensions| {
        let mut params = Params::parse(raw)?;
        params.at_most(most)?;
        params.connection = caller.get::<ConnectionId>().map_or(0, |id| id.0);
        params.private_state = chosen_state(caller);
        params.call_id = caller.get::<CallId>().map(|id| id.0.clone()).unwrap_or_default();
        Ok::<_, RpcError>(params)
    };
    match run {
        Run::Inline(run) => module.register_method(name, move |raw, service, extensions| {
            let params = read(raw.as_str(), extensions)?;
            run(service, &params).map_err(ErrorObjectOwned::from)
        })?,
        Run::Heavy(run) => {
            module.register_async_method(name, move |raw, service, extensions| async move {
                let params = read(raw.as_str(), &extensions)?;
                service
                    .run_heavy(move |service| run(service, &params))
                    .await
                    .map_err(ErrorObjectOwned::from)
            })?
        }
        Run::Waits(run) => {
            module.register_async_method(name, move |raw, service, extensions| async move {
                let params = read(raw.as_str(), &extensions)?;
                run(service, params).await.map_err(ErrorObjectOwned::from)
            })?
        }
    };
    Ok(())
}
