//! entente-p2p
