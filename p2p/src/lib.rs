//! The network of one environment: who is connected, frames in and out, blocks on request.
//!
//! Each pair of nodes holds one TCP connection (noise, yamux, optionally a pre-shared key) with
//! five long-lived substreams, the lanes: status, consensus, transactions, blocks, payloads. Each
//! lane has its own queues, limits and tasks, so a flood on one does not delay another. Bytes and
//! node identities go in and out; what consensus, transaction and payload frames mean is their
//! owners' business, and nothing of libp2p is visible outside.
//!
//! Never does this crate believe a peer's claim (heads are claims), wait for a slow peer, or spend
//! memory on a length it has not checked.
//!
//! Read on at [`start`] and [`NetworkHandle`], then `connection.rs` (from socket to session),
//! `session.rs` (the lanes) and `service.rs` (who gets in).

mod clock;
mod codec;
mod config;
mod connection;
mod counters;
mod dials;
mod events;
mod frame;
mod handle;
mod handshake;
mod key;
mod limits;
mod muxer;
mod peers;
mod request;
mod service;
mod session;
mod table;
mod transport;
mod wire;

pub use codec::{
    blocks::{Request, Response},
    hello::Refusal,
    status::HeadClaim,
};
pub use config::{NetworkConfig, NetworkError, PeerAddress, ValidatorProof};
pub use counters::{Counters, Flow, Traffic};
pub use events::{Frame, NetworkEvent, NetworkEvents};
pub use handle::{NetworkHandle, start};
pub use key::{KeyError, NodeKey, is_signed_by};
pub use peers::{Direction, DisconnectReason, Farewell, PeerInfo};
pub use request::{Asked, ReplySlot, RequestError};
pub use wire::{Channel, Lane};
