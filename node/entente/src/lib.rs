//! The Entente node: joins engine, chain, pool, network and RPC into one process.
//!
//! Start at [`wiring`] for the data flow; the command line is in `main.rs` and `cli`.

pub mod backend;
pub mod chain;
pub mod chain_error;
pub mod chain_thread;
pub mod cli;
pub mod clock;
pub mod consensus_thread;
mod decode;
mod evidence;
mod genesis_change;
pub mod keystore;
pub mod logging;
pub mod network_events;
pub mod network_ports;
pub mod pool_thread;
mod readiness;
pub mod secret_file;
pub mod settings;
mod stop;
pub mod wiring;
