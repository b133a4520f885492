//! The threads that take frames of other nodes about payloads, and let time pass for the exchange.
//! Several, because each payload waits for the disk before it is acknowledged, and waits of
//! several share one sync.

use super::{RECOVERY_OPEN, desk::PrivateDesk};
use crate::stop::{self, StopHandle};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use entente_chain::NodeId;
use entente_p2p::Frame;
use entente_storage::ChainReader;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::mpsc;

/// Threads that take frames: as many payloads can share one sync of the disk.
const THREADS: usize = 16;
/// Frames and sessions that wait for them.
const QUEUE: usize = 1024;
/// Longest time until the exchange hears what time it is.
const TICK: Duration = Duration::from_millis(200);
/// A peer that has been connected for so long and has named no key takes no part in private
/// transactions, in milliseconds.
const SILENT_AFTER: u64 = 15_000;
/// The chain counts as caught up when no peer has been ahead for so long, in milliseconds.
const SETTLED_AFTER: u64 = 2_000;

/// What the threads take.
pub(crate) enum PrivateInput {
    /// A frame of a node.
    Frame(Frame),
    /// A session began.
    Connected(NodeId),
    /// A session ended.
    Disconnected(NodeId),
}

/// Where inputs are handed in.
#[derive(Clone)]
pub(crate) struct PrivateInputs(Sender<PrivateInput>);

impl PrivateInputs {
    /// Tells of a session. Sessions are few; one that finds the queue full is told again by its
    /// first frame.
    pub(crate) fn tell(&self, input: PrivateInput) {
        if self.0.try_send(input).is_err() {
            tracing::warn!("the queue of private payloads is full");
        }
    }
}

/// What the threads work with.
pub(crate) struct ExchangePorts {
    pub(crate) desk: Arc<PrivateDesk>,
    pub(crate) reader: ChainReader,
    /// Nodes that this one is told to connect with.
    pub(crate) peers: BTreeSet<NodeId>,
}

/// Starts the threads and the task that feeds them. They end when the network does.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn start(
    ports: ExchangePorts,
    mut frames: mpsc::Receiver<Frame>,
    stop: &StopHandle,
) -> std::io::Result<(PrivateInputs, Vec<JoinHandle<()>>)> {
    let (sender, inputs) = crossbeam_channel::bounded(QUEUE);
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (inputs, desk) = (inputs.clone(), Arc::clone(&ports.desk));
        threads.push(stop::spawn("payloads", stop.clone(), move || {
            work(&inputs, &desk);
            Ok(())
        })?);
    }
    let feed = sender.clone();
    threads.push(stop::spawn("payload-feed", stop.clone(), move || {
        while let Some(frame) = frames.blocking_recv() {
            if feed.send(PrivateInput::Frame(frame)).is_err() {
                break;
            }
        }
        Ok(())
    })?);
    tokio::spawn(watch_recovery(ports));
    Ok((PrivateInputs(sender), threads))
}

fn work(inputs: &Receiver<PrivateInput>, desk: &PrivateDesk) {
    loop {
        let actions = match inputs.recv_timeout(TICK) {
            Ok(PrivateInput::Frame(frame)) => {
                desk.privacy.arrived(desk.now(), frame.from, &frame.bytes)
            }
            Ok(PrivateInput::Connected(node)) => desk.privacy.connected(desk.now(), node),
            Ok(PrivateInput::Disconnected(node)) => {
                desk.privacy.disconnected(node);
                Vec::new()
            }
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        desk.perform(actions);
        let now = desk.now();
        if desk.privacy.next_deadline().is_some_and(|deadline| deadline <= now) {
            desk.perform(desk.privacy.tick(now));
        }
        if desk.stall.stops() {
            return;
        }
    }
}

/// Ends a recovery: first finds out which block is the last whose payload may be missing, then waits
/// until the chain is past it. Meanwhile it strikes peers that take no part off the list of those
/// who must answer.
async fn watch_recovery(ports: ExchangePorts) {
    let ExchangePorts { desk, reader, peers } = ports;
    let mut asked = peers.clone();
    let mut since: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut level_since = None;
    let mut ticks = tokio::time::interval(TICK);
    while let Some(until) = desk.privacy.recovering_until() {
        ticks.tick().await;
        if desk.stall.stops() {
            return;
        }
        let (now, head) = (desk.now(), reader.head().header.number);
        let connected = desk.network.peers();
        since.retain(|node, _| connected.iter().any(|peer| peer.node == *node));
        for peer in connected.iter() {
            since.entry(peer.node).or_insert(now);
        }
        let known: BTreeSet<_> =
            desk.privacy.directory().into_iter().map(|(node, _)| node).collect();
        let silent = |node: &NodeId| {
            !known.contains(node)
                && since.get(node).is_some_and(|since| now.saturating_sub(*since) > SILENT_AFTER)
        };
        let must: BTreeSet<_> = peers.iter().filter(|node| !silent(node)).copied().collect();
        let best = connected.iter().map(|peer| peer.head.number).max();
        let level = best.is_some_and(|best| best <= head.saturating_add(1)) || peers.is_empty();
        level_since = if level { level_since.or(Some(now)) } else { None };
        let settled = level_since.is_some_and(|since| now.saturating_sub(since) > SETTLED_AFTER);
        let outcome = if until == RECOVERY_OPEN && settled {
            desk.privacy.begin_recovery(head, must.clone())
        } else if until <= head {
            desk.privacy.end_recovery()
        } else if must != asked {
            desk.privacy.begin_recovery(until, must.clone())
        } else {
            Ok(())
        };
        asked = must;
        if let Err(error) = outcome {
            tracing::error!(%error, "the recovery of private payloads cannot be recorded");
        }
    }
}
