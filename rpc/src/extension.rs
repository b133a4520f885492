//! Extension of private contracts to one more party, GoQuorum's `quorumExtension`: requests are
//! read from events, votes and states go out as private transactions, and what the initiator's
//! node owes a request is done by [`worker`].

mod checks;
mod record;
mod sending;
mod state;
mod worker;

pub(crate) use checks::check_cancel;
pub(crate) use record::ExtensionRecord;
pub(crate) use sending::Outgoing;
pub(crate) use worker::run;
