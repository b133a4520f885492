//! The Entente node: joins engine, chain, pool, network and RPC into one process.
//!
//! Start at [`wiring`] for the data flow; the command line is in `main.rs` and `cli`.

/// Simulations may seal with hashes; a node never.
const _: () = assert!(!entente_chain::seal::SIMULATED_SEALS);
/// Simulations may switch bugs on; a node holds none of them.
const _: () = assert!(!entente_consensus::sabotage::COMPILED_IN);

mod backend;
mod chain_thread;
pub mod cli;
mod clock;
mod consensus_thread;
mod decode;
mod evidence;
mod genesis_change;
mod keystore;
mod logging;
mod migration;
mod network_events;
mod network_ports;
mod pool_handle;
mod pool_thread;
mod privacy_service;
mod private_node;
mod readiness;
mod secret_file;
mod settings;
mod stop;
mod wiring;
