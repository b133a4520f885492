//! End to end: real processes on loopback, real clients, the repository's own tidiness.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    reason = "tests panic with what went wrong, print what they measured, and take `json!(..)`"
)]

mod capture;
mod clients;
mod engines;
mod extension;
mod faults;
mod goquorum;
mod goquorum_private;
mod hostile;
mod http;
mod kills;
mod migrate;
mod network;
mod private;
mod private_keys;
mod private_kills;
mod q2t;
#[path = "../../../ledger/tests/it/registry.rs"]
mod registry;
mod tidy;
mod validator_contract;
mod wallet;
