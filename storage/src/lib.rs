//! entente-storage
