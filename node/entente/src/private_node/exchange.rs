//! The threads that take frames of other nodes about payloads, and let time pass for the exchange.
//! Several, because each payload waits for the disk before it is acknowledged, and waits of
//! several share one sync.

use super::desk::PrivateDesk;
use crate::stop::{self, StopHandle};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use entente_chain::NodeId;
use entente_p2p::Frame;
use entente_privacy::{PENDING_BLOCKS, RecoveryWatch, Standing};
use entente_storage::ChainReader;
use std::{collections::BTreeSet, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::sync::mpsc;

/// Threads that take frames: as many payloads can share one sync of the disk.
const THREADS: usize = 16;
/// Frames and sessions that wait for them.
const QUEUE: usize = 1024;
/// Longest time until the exchange hears what time it is.
const TICK: Duration = Duration::from_millis(200);

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

/// Shows the watch over a recovery how things stand until it has ended.
async fn watch_recovery(ports: ExchangePorts) {
    let ExchangePorts { desk, reader, peers } = ports;
    let mut watch = RecoveryWatch::new(peers, PENDING_BLOCKS);
    let mut ticks = tokio::time::interval(TICK);
    while desk.privacy.recovering_until().is_some() {
        ticks.tick().await;
        if desk.stall.stops() {
            return;
        }
        let peers = desk.network.peers();
        let standing = Standing {
            head: reader.head().header.number,
            is_waiting: desk.stall.reason().is_some(),
            connected: peers.iter().map(|peer| (peer.node, peer.head.number)).collect(),
        };
        if let Err(error) = watch.look(&desk.privacy, desk.now(), &standing) {
            tracing::error!(%error, "the recovery of private payloads cannot be recorded");
        }
    }
}
