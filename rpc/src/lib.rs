//! The node's JSON-RPC server: HTTP and WebSocket on one port, with geth's methods, shapes and error
//! texts, bounded in every direction.
//!
//! It knows handles, never the node: what it cannot read from the database it asks of a
//! [`Backend`]. Start at [`RpcServer::start`], then `methods.rs` (the table of every method) and
//! `error.rs` (the table of every code).

mod backend;
mod config;
mod context;
mod error;
mod fees;
mod filters;
mod health;
mod log_query;
mod methods;
mod middleware;
mod params;
mod send_desk;
mod server;
mod subscriptions;
mod types;
mod validators;

pub use backend::{
    Backend, BoxFuture, EvidenceRecord, NodeInfo, PeerInfo, PoolContent, PoolStatus, Readiness,
    Rejected,
};
pub use config::{Namespace, RpcConfig, RpcLimits};
pub use context::{Context, Events, NewHead};
pub use server::{RpcServer, RpcStartError};
