//! entente-rpc
