//! Bounds that only the network needs; what others need too is in [`entente_chain::limits`].

use crate::wire::Lane;
use entente_chain::limits;
use std::time::Duration;

/// From the accepted socket to the last lane open; whoever needs longer is closed.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that have not finished their handshake; one more closes the oldest of them.
pub(crate) const PENDING_MAX: usize = 64;
/// How long a goodbye may take to leave.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A status is sent at least this often, so that silence means a dead peer.
pub(crate) const STATUS_INTERVAL: Duration = Duration::from_secs(3);
/// Without a status for so long, a peer is taken for dead.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(12);
/// Largest frame on the status lane: 128 neighbours of 33 bytes and some words.
pub(crate) const STATUS_FRAME_BYTES_MAX: usize = 16 * 1024;
/// Longest client version that is kept, in characters.
pub(crate) const CLIENT_VERSION_CHARS_MAX: usize = 64;

/// Requests of ours in flight with one peer.
pub(crate) const REQUESTS_IN_FLIGHT: usize = 8;
/// Requests of ours that may wait for one of those places.
pub(crate) const REQUESTS_WAITING: usize = 64;
/// Requests of one peer being answered at once.
pub(crate) const REQUESTS_SERVED: usize = 8;
/// A request without an answer fails after this.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of all peers waiting for the owner.
pub(crate) const REQUESTS_INBOX: usize = 64;
/// Consensus frames and peer events waiting for the owner.
pub(crate) const EVENTS_INBOX: usize = 1024;
/// Transaction frames of all peers waiting for the owner.
pub(crate) const TRANSACTIONS_INBOX: usize = 64;
/// Payload frames of all peers waiting for the owner.
pub(crate) const PAYLOADS_INBOX: usize = 64;
/// Commands waiting for the service task.
pub(crate) const COMMANDS: usize = 1024;

/// First pause before a peer is dialled again; doubles up to [`REDIAL_MAX`].
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(200);
/// Longest pause between dials.
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(5);
/// The larger node id waits so much longer, so that two nodes seldom dial each other at once.
pub(crate) const REDIAL_COURTESY: Duration = Duration::from_millis(150);

/// Points at which a peer is banned.
pub(crate) const SCORE_BANNED: u32 = 100;
/// How long such a ban lasts.
pub(crate) const BAN_TIME: Duration = Duration::from_secs(60);
/// Most bans and scores kept; the oldest are forgotten.
pub(crate) const SCORES_MAX: usize = 1024;
/// For a frame over its limit or one that does not decode.
pub(crate) const PENALTY_PROTOCOL: u32 = 50;
/// For an answer nobody asked for or a request beyond the credit.
pub(crate) const PENALTY_NUISANCE: u32 = 5;

/// Substreams that a peer may hold open: one per lane and as many in negotiation.
pub(crate) const SUBSTREAMS_MAX: usize = 10;
/// Frames up to this are gathered into one write.
pub(crate) const GATHER_BYTES: usize = 64 * 1024;

/// Largest frame of a lane, in bytes.
pub(crate) const fn frame_bytes_max(lane: Lane) -> usize {
    match lane {
        Lane::Status => STATUS_FRAME_BYTES_MAX,
        Lane::Consensus => limits::CONSENSUS_FRAME_BYTES_MAX,
        Lane::Transactions => limits::TRANSACTIONS_FRAME_BYTES_MAX,
        Lane::Blocks => limits::BLOCKS_FRAME_BYTES_MAX,
        Lane::Payloads => limits::PAYLOADS_FRAME_BYTES_MAX,
    }
}

/// Frames waiting for one peer on a lane.
pub(crate) const fn queue_frames(lane: Lane) -> usize {
    match lane {
        Lane::Status => 1,
        Lane::Consensus => limits::CONSENSUS_QUEUE_FRAMES,
        Lane::Transactions => limits::TRANSACTIONS_QUEUE_FRAMES,
        Lane::Payloads => limits::PAYLOADS_QUEUE_FRAMES,
        Lane::Blocks => limits::BLOCKS_QUEUE_FRAMES + REQUESTS_IN_FLIGHT + REQUESTS_SERVED,
    }
}

/// Bytes waiting for one peer on a lane: a queue full of the largest frames would be gigabytes.
pub(crate) const fn queue_bytes(lane: Lane) -> usize {
    4 * frame_bytes_max(lane)
}
