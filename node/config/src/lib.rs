//! entente-config
