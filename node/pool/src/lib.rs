//! entente-pool
