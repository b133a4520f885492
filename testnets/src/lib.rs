//! entente-testnet
