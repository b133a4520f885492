//! Whole nodes against each other on the loopback interface.

#![expect(clippy::expect_used, reason = "what helpers refuse fails their test")]

mod admission;
mod exchange;
mod hostile;
mod net;
mod sessions;
