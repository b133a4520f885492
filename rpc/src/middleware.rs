//! What stands between a socket and a method.

pub(crate) mod calls;
pub(crate) mod http;
mod private_state;
