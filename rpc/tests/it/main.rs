//! The server over a real database with a small chain, asked over real sockets.
#![expect(clippy::expect_used, clippy::panic, reason = "what helpers refuse fails their test")]

mod backend;
mod branches;
mod chain;
mod client;
mod conformance;
mod evidence;
mod filters;
mod health;
mod hostile;
mod hostile_load;
mod methods;
mod ordered_sends;
mod subscriptions;
mod world;
