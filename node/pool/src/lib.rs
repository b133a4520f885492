//! Transactions that wait for a block. A plain struct: one owner feeds it, asks it, and tells it
//! of new heads; it has no threads, no clock and no lock.
//!
//! A transaction is *executable* when no nonce is missing before it, else *gapped*. Read on at
//! [`Pool`], then `insert.rs` (who gets in), `maintain.rs` (who leaves) and `order.rs` (who goes
//! into the next block).

mod counters;
mod error;
mod insert;
mod limits;
mod maintain;
mod order;
mod pool;
mod replacement;
mod sender;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use counters::{PoolCounters, Removal};
pub use error::PoolError;
pub use insert::{Inserted, Origin};
pub use limits::PoolLimits;
pub use pool::Pool;
