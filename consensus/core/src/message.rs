//! Consensus messages on the wire.
