//! entente-evm
