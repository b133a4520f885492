//! Every bound of the node in one place. Anything from outside is measured against one of these
//! before memory or time is spent on it.

/// Largest validator set; bounds every list of seals and votes.
pub const VALIDATORS_MAX: usize = 256;
/// Largest raw transaction that the pool and RPC accept, in bytes (geth: 128 KiB).
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;
/// Largest encoded block, in bytes.
pub const BLOCK_BYTES_MAX: usize = 12 * 1024 * 1024;
/// Target for the transactions of a block that this node builds, in bytes.
pub const BLOCK_BUILD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most transactions in one block that this node builds or accepts.
pub const BLOCK_TRANSACTIONS_MAX: usize = 100_000;
/// Largest extraData of a header, in bytes: vanity, 256 addresses, 256 seals, a vote, RLP heads.
pub const EXTRA_DATA_BYTES_MAX: usize = 32 + VALIDATORS_MAX * (21 + 67) + 1024;

/// Largest frame on the consensus channel: a proposal carries a block and its justification.
pub const CONSENSUS_FRAME_BYTES_MAX: usize = BLOCK_BYTES_MAX + 4 * 1024 * 1024;
/// Largest frame on the transactions channel.
pub const TRANSACTIONS_FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest frame on the payloads channel: an encrypted payload with its envelope.
pub const PAYLOADS_FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest frame on the blocks channel (requests, responses, announcements).
pub const BLOCKS_FRAME_BYTES_MAX: usize = BLOCK_BYTES_MAX + 1024 * 1024;
/// Most blocks asked for in one range request.
pub const BLOCK_RANGE_MAX: u64 = 256;
/// Frames waiting for one peer on the consensus channel.
pub const CONSENSUS_QUEUE_FRAMES: usize = 1024;
/// Frames waiting for one peer on the transactions channel.
pub const TRANSACTIONS_QUEUE_FRAMES: usize = 64;
/// Frames waiting for one peer on the payloads channel.
pub const PAYLOADS_QUEUE_FRAMES: usize = 64;
/// Frames waiting for one peer on the blocks channel.
pub const BLOCKS_QUEUE_FRAMES: usize = 16;
/// Most connected peers.
pub const PEERS_MAX: usize = 128;

/// Inputs waiting for the consensus thread.
pub const CONSENSUS_INPUTS: usize = 4096;
/// Commands waiting for the chain thread.
pub const CHAIN_COMMANDS: usize = 64;
/// Commands waiting for the pool task.
pub const POOL_COMMANDS: usize = 8192;
/// Pool commands taken in one go.
pub const POOL_BATCH: usize = 512;
/// Executed blocks kept while it is open whether they are adopted.
pub const EXECUTED_BLOCKS_MAX: usize = 16;
/// Deepest reorganisation of a chain whose engine has no finality (Clique), in blocks.
pub const REORGANISATION_BLOCKS_MAX: u64 = 128;
/// Consensus messages for future heights and rounds kept per validator.
pub const BACKLOG_PER_VALIDATOR: usize = 64;
/// How far ahead of the head a consensus message may be to be kept.
pub const FUTURE_HEIGHTS_MAX: u64 = 4;
/// Round numbers above this are refused: no honest node reaches them within years.
pub const ROUND_MAX: u64 = 1 << 32;

/// Largest genesis file, in bytes.
pub const GENESIS_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;

const _: () = assert!(CONSENSUS_FRAME_BYTES_MAX > BLOCK_BYTES_MAX);
const _: () = assert!(BLOCKS_FRAME_BYTES_MAX > BLOCK_BYTES_MAX);
const _: () = assert!(BLOCK_BUILD_BYTES_MAX < BLOCK_BYTES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX < TRANSACTIONS_FRAME_BYTES_MAX);
