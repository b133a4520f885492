//! The server over a real database with a small chain, asked over real sockets.

mod backend;
mod chain;
mod client;
mod conformance;
mod filters;
mod health;
mod hostile;
mod methods;
mod ordered_sends;
mod subscriptions;
mod world;
