//! entente-bench
