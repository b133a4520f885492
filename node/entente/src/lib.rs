//! The Entente node.
