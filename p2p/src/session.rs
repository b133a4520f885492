//! A session: ten tasks, a reader and a writer for each lane, so that no lane waits for another.
//! The first of them to end ends all.

mod blocks;
mod frames;
mod status;

use crate::{
    connection::{Established, Local},
    events::{NetworkEvent, Outlets},
    limits::{CLOSE_TIMEOUT, PENALTY_PROTOCOL, frame_bytes_max},
    peers::{DisconnectReason, Farewell, Link},
    service::Command,
    wire::Lane,
};
use futures::AsyncReadExt as _;
use std::{convert::identity, io, sync::Arc};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// Largest frames of a peer that may wait for the owner, per channel.
const WAITING_FRAMES_MAX: usize = 2;

/// Runs a session until it ends; tells the owner of both ends of it.
pub(crate) async fn run(local: &Arc<Local>, established: Established) {
    let Established { link, ends, lanes, muxer } = established;
    let peer = link.info();
    let node = peer.node;
    let (address, validator) = (peer.address, peer.validator);
    tracing::info!(%node, %address, ?validator, "peer connected");
    local.counters.connected();
    if local.outlets.urgent.send(NetworkEvent::Connected(Box::new(peer))).await.is_err() {
        return;
    }
    let Outlets { urgent, transactions, payloads, .. } = local.outlets.clone();
    let task = Task { local: Arc::clone(local), link: Arc::clone(&link) };
    let mut tasks = JoinSet::new();
    let (reader, writer) = lanes.status.split();
    let mut listener = tokio::spawn(status::read(task.clone(), reader));
    let mut farewell = tokio::spawn(status::write(task.clone(), writer, ends.close));
    let (reader, writer) = lanes.consensus.split();
    tasks.spawn(frames::read(task.clone(), reader, Lane::Consensus, urgent, NetworkEvent::Frame));
    tasks.spawn(frames::write(task.clone(), writer, ends.consensus, Lane::Consensus));
    let (reader, writer) = lanes.transactions.split();
    tasks.spawn(frames::read(task.clone(), reader, Lane::Transactions, transactions, identity));
    tasks.spawn(frames::write(task.clone(), writer, ends.transactions, Lane::Transactions));
    let (reader, writer) = lanes.payloads.split();
    tasks.spawn(frames::read(task.clone(), reader, Lane::Payloads, payloads, identity));
    tasks.spawn(frames::write(task.clone(), writer, ends.payloads, Lane::Payloads));
    let (reader, writer) = lanes.blocks.split();
    tasks.spawn(blocks::read(task.clone(), reader));
    tasks.spawn(frames::write(task, writer, ends.blocks, Lane::Blocks));

    let mut heard = false;
    let mut reason = tokio::select! {
        ended = tasks.join_next() => {
            ended.map_or_else(|| lost("no tasks"), |end| end.unwrap_or_else(lost))
        }
        ended = &mut listener => {
            heard = true;
            ended.unwrap_or_else(lost)
        }
        ended = &mut farewell => ended.unwrap_or_else(lost),
    };
    match reason {
        // A peer that does not read must not keep us.
        DisconnectReason::ByUs(why) if !farewell.is_finished() => {
            link.close(why);
            drop(timeout(CLOSE_TIMEOUT, &mut farewell).await);
        }
        // Another lane saw the end first; the peer's reason may be waiting to be read.
        DisconnectReason::Lost(_) if !heard => {
            if let Ok(Ok(told)) = timeout(CLOSE_TIMEOUT, &mut listener).await {
                reason = told;
            }
        }
        DisconnectReason::ByUs(_) | DisconnectReason::ByPeer(_) | DisconnectReason::Lost(_) => {}
    }
    listener.abort();
    farewell.abort();
    tasks.shutdown().await;
    link.calls.end();
    drop(muxer);
    tracing::info!(node = %node, %reason, "peer disconnected");
    local.counters.disconnected();
    let event = NetworkEvent::Disconnected { node, reason };
    if local.outlets.urgent.send(event).await.is_err() {
        tracing::debug!("nobody listens to network events any more");
    }
}

/// What each task of a session holds.
#[derive(Clone)]
struct Task {
    local: Arc<Local>,
    link: Arc<Link>,
}

impl Task {
    /// Records what the peer did wrong and says how the session ends.
    async fn violation(
        &self,
        lane: Lane,
        farewell: Farewell,
        detail: &(dyn std::fmt::Display + Sync),
    ) -> DisconnectReason {
        let node = self.link.peer.node;
        tracing::warn!(%node, lane = lane.name(), %detail, "peer broke the protocol");
        self.penalize(PENALTY_PROTOCOL, "broke the protocol").await;
        DisconnectReason::ByUs(farewell)
    }

    async fn penalize(&self, points: u32, reason: &'static str) {
        let node = self.link.peer.node;
        let command = Command::Penalize { node, points, reason: reason.to_owned() };
        if self.local.commands.send(command).await.is_err() {
            tracing::debug!("penalty not recorded, the service has ended");
        }
    }

    fn received(&self, lane: Lane, bytes: usize) {
        self.link.traffic.received(lane, bytes);
        self.local.counters.traffic.received(lane, bytes);
    }

    fn sent(&self, lane: Lane, bytes: usize) {
        self.link.traffic.sent(lane, bytes);
        self.local.counters.traffic.sent(lane, bytes);
    }
}

fn lost(cause: impl std::fmt::Display) -> DisconnectReason {
    DisconnectReason::Lost(cause.to_string())
}

fn lost_io(cause: &io::Error) -> DisconnectReason {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => {
            DisconnectReason::Lost("closed without a goodbye".to_owned())
        }
        _ => DisconnectReason::Lost(cause.to_string()),
    }
}

/// The owner no longer listens: the node is going down.
const OWNER_GONE: DisconnectReason = DisconnectReason::ByUs(Farewell::ShuttingDown);

/// Room for the waiting frames of one peer and channel, in KiB.
fn room(lane: Lane) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WAITING_FRAMES_MAX * (frame_bytes_max(lane) / 1024 + 1)))
}
