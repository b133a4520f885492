//! End to end: real processes on loopback, real clients, the repository's own tidiness.

#![expect(clippy::expect_used, clippy::panic, reason = "tests say what went wrong by panicking")]

mod clients;
mod faults;
mod goquorum;
mod hostile;
mod http;
mod network;
mod tidy;
mod wallet;
