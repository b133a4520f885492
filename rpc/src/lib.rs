//! The node's JSON-RPC server: HTTP and WebSocket on one port, with geth's methods, shapes and error
//! texts, bounded in every direction.
//!
//! It knows handles, never the node: what it cannot read from the database it asks of a
//! [`Backend`]. Start at [`RpcServer::start`], then `methods.rs` (the table of every method) and
//! `error.rs` (the table of every code).

mod backend;
mod callbacks;
mod config;
mod context;
mod error;
mod extension;
mod fees;
mod filters;
mod health;
mod local_accounts;
mod log_query;
mod methods;
mod middleware;
mod params;
mod private;
mod private_request;
mod private_sending;
mod private_view;
mod send_desk;
mod server;
mod subscriptions;
mod transaction_request;
mod types;
mod validators;

pub use backend::{
    Backend, BoxFuture, EvidenceRecord, NodeInfo, PeerInfo, PoolContent, PoolStatus, Readiness,
    Rejected,
};
pub use config::{Namespace, RpcConfig, RpcLimits, StateAccess};
pub use context::{Context, Events, NewHead};
pub use local_accounts::LocalAccounts;
pub use private::{Distribution, PrivateAccess, PrivateBackend, StoredPayload};
pub use server::{RpcServer, RpcStartError};
