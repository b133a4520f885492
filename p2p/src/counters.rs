//! What went through and what was dropped, counted.

use crate::wire::Lane;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Frames and bytes of one lane in both directions. Bytes include the length of each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// [`Flow`] per lane, of one peer or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handshake, heads, neighbours.
    pub status: Flow,
    /// Votes and proposals.
    pub consensus: Flow,
    /// Pending transactions.
    pub transactions: Flow,
    /// Block requests and answers.
    pub blocks: Flow,
    /// Payloads of private transactions.
    pub payloads: Flow,
}

impl Traffic {
    /// The flow of one lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> Flow {
        match lane {
            Lane::Status => self.status,
            Lane::Consensus => self.consensus,
            Lane::Transactions => self.transactions,
            Lane::Blocks => self.blocks,
            Lane::Payloads => self.payloads,
        }
    }
}

/// Everything counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of all peers, past ones too.
    pub traffic: Traffic,
    /// Frames, requests and commands that went nowhere, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Connections that did not become sessions, by reason.
    pub handshakes_failed: BTreeMap<&'static str, u64>,
    /// Sessions that began.
    pub connected: u64,
    /// Sessions that ended.
    pub disconnected: u64,
    /// Bans, by hand and by score.
    pub bans: u64,
}

#[derive(Default)]
struct FlowCells([AtomicU64; 4]);

impl FlowCells {
    fn received(&self, bytes: usize) {
        let [frames, total, ..] = &self.0;
        add(frames, total, bytes);
    }

    fn sent(&self, bytes: usize) {
        let [.., frames, total] = &self.0;
        add(frames, total, bytes);
    }

    fn read(&self) -> Flow {
        let [frames_in, bytes_in, frames_out, bytes_out] =
            self.0.each_ref().map(|cell| cell.load(Ordering::Relaxed));
        Flow { frames_in, bytes_in, frames_out, bytes_out }
    }
}

fn add(frames: &AtomicU64, total: &AtomicU64, bytes: usize) {
    frames.fetch_add(1, Ordering::Relaxed);
    total.fetch_add(bytes as u64 + 4, Ordering::Relaxed);
}

/// Live [`Traffic`].
#[derive(Default)]
pub(crate) struct TrafficCells {
    status: FlowCells,
    consensus: FlowCells,
    transactions: FlowCells,
    blocks: FlowCells,
    payloads: FlowCells,
}

impl TrafficCells {
    const fn of(&self, lane: Lane) -> &FlowCells {
        match lane {
            Lane::Status => &self.status,
            Lane::Consensus => &self.consensus,
            Lane::Transactions => &self.transactions,
            Lane::Blocks => &self.blocks,
            Lane::Payloads => &self.payloads,
        }
    }

    pub(crate) fn received(&self, lane: Lane, bytes: usize) {
        self.of(lane).received(bytes);
    }

    pub(crate) fn sent(&self, lane: Lane, bytes: usize) {
        self.of(lane).sent(bytes);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            status: self.status.read(),
            consensus: self.consensus.read(),
            transactions: self.transactions.read(),
            blocks: self.blocks.read(),
            payloads: self.payloads.read(),
        }
    }
}

/// Live counts by reason. The lock is private and held for one increment.
#[derive(Default)]
struct Reasons(Mutex<BTreeMap<&'static str, u64>>);

impl Reasons {
    fn count(&self, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    fn read(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Live [`Counters`].
#[derive(Default)]
pub(crate) struct CounterCells {
    pub(crate) traffic: TrafficCells,
    dropped: Reasons,
    failed: Reasons,
    connected: AtomicU64,
    disconnected: AtomicU64,
    bans: AtomicU64,
}

impl CounterCells {
    pub(crate) fn dropped(&self, reason: &'static str) {
        self.dropped.count(reason);
    }

    pub(crate) fn handshake_failed(&self, reason: &'static str) {
        self.failed.count(reason);
    }

    pub(crate) fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn banned(&self) {
        self.bans.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            traffic: self.traffic.read(),
            dropped: self.dropped.read(),
            handshakes_failed: self.failed.read(),
            connected: self.connected.load(Ordering::Relaxed),
            disconnected: self.disconnected.load(Ordering::Relaxed),
            bans: self.bans.load(Ordering::Relaxed),
        }
    }
}
