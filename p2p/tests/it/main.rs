//! Whole nodes against each other on the loopback interface.

mod admission;
mod exchange;
mod hostile;
mod net;
mod sessions;
