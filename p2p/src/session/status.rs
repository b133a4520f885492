//! The status lane of a session: heads as signs of life, neighbours, goodbyes.

use super::{OWNER_GONE, Task, lost, lost_io};
use crate::{
    codec::status::Status,
    connection::LaneStream,
    events::NetworkEvent,
    frame::{self, FrameError},
    limits::{CLOSE_TIMEOUT, SILENCE_MAX, STATUS_FRAME_BYTES_MAX, STATUS_INTERVAL},
    peers::{DisconnectReason, Farewell},
    wire::Lane,
};
use alloy_primitives::B256;
use entente_chain::NodeId;
use futures::{
    AsyncWriteExt as _,
    io::{ReadHalf, WriteHalf},
};
use std::{io, pin::pin, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

pub(super) async fn read(task: Task, mut stream: ReadHalf<LaneStream>) -> DisconnectReason {
    loop {
        let frame = frame::read(&mut stream, STATUS_FRAME_BYTES_MAX);
        let bytes = match timeout(SILENCE_MAX, frame).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(FrameError::Io(cause))) => return lost_io(&cause),
            Ok(Err(large @ FrameError::TooLarge { .. })) => {
                return task.violation(Lane::Status, Farewell::FrameTooLarge, &large).await;
            }
            Err(_) => return DisconnectReason::ByUs(Farewell::Silent),
        };
        task.received(Lane::Status, bytes.len());
        let node = task.link.peer.node;
        match Status::decode(&bytes) {
            Ok(Status::Head(head)) => {
                // Told again although it may be known: whoever missed it the first time must not wait
                // for the peer's next block.
                task.link.head.send_replace(head);
                let event = NetworkEvent::PeerHead { node, number: head.number, hash: head.hash };
                if task.local.outlets.urgent.send(event).await.is_err() {
                    return OWNER_GONE;
                }
            }
            Ok(Status::Neighbours(nodes)) => {
                let nodes = nodes.into_iter().map(|id| NodeId(id.0)).collect();
                task.link.neighbours.send_replace(Arc::new(nodes));
            }
            Ok(Status::Goodbye(code)) => {
                return DisconnectReason::ByPeer(Farewell::from_code(code));
            }
            Err(error) => {
                return task.violation(Lane::Status, Farewell::Malformed, &error).await;
            }
        }
    }
}

/// Sends head and neighbours whenever they change; a change during a write is seen after it, so a
/// slow peer gets the newest and not all. Ends the session with a goodbye when told to.
pub(super) async fn write(
    task: Task,
    mut stream: WriteHalf<LaneStream>,
    mut close: mpsc::Receiver<Farewell>,
) -> DisconnectReason {
    let mut head = task.local.head.clone();
    let mut neighbours = task.local.neighbours.clone();
    // The handshake told an older state.
    neighbours.mark_changed();
    let mut signs_of_life = interval(STATUS_INTERVAL);
    signs_of_life.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let status = tokio::select! {
            farewell = close.recv() => return goodbye(&task, &mut stream, farewell).await,
            changed = head.changed() => {
                if changed.is_err() {
                    return OWNER_GONE;
                }
                Status::Head(*head.borrow_and_update())
            }
            changed = neighbours.changed() => {
                if changed.is_err() {
                    return OWNER_GONE;
                }
                let nodes = Arc::clone(&neighbours.borrow_and_update());
                Status::Neighbours(nodes.iter().map(|node| B256::from(node.0)).collect())
            }
            _ = signs_of_life.tick() => Status::Head(*head.borrow_and_update()),
        };
        let (farewell, sent) = {
            let mut sending = pin!(send(&task, &mut stream, &status));
            tokio::select! {
                sent = timeout(SILENCE_MAX, &mut sending) => (None, sent),
                // Half a frame must be finished before anything may follow it.
                farewell = close.recv() => (farewell, timeout(CLOSE_TIMEOUT, sending).await),
            }
        };
        match (farewell, sent) {
            (None, Ok(Ok(()))) => {}
            (farewell @ Some(_), Ok(Ok(()))) => return goodbye(&task, &mut stream, farewell).await,
            (Some(farewell), Ok(Err(_)) | Err(_)) => return DisconnectReason::ByUs(farewell),
            (None, Ok(Err(cause))) => return lost(cause),
            (None, Err(_)) => return DisconnectReason::ByUs(Farewell::NotReading),
        }
    }
}

async fn goodbye(
    task: &Task,
    stream: &mut WriteHalf<LaneStream>,
    farewell: Option<Farewell>,
) -> DisconnectReason {
    let farewell = farewell.unwrap_or(Farewell::ShuttingDown);
    let goodbye = Status::Goodbye(farewell.code());
    if !matches!(timeout(CLOSE_TIMEOUT, send(task, stream, &goodbye)).await, Ok(Ok(()))) {
        tracing::debug!(node = %task.link.peer.node, "goodbye not sent");
    }
    DisconnectReason::ByUs(farewell)
}

async fn send(task: &Task, stream: &mut WriteHalf<LaneStream>, status: &Status) -> io::Result<()> {
    let body = status.encode();
    stream.write_all(&[&frame::header(body.len())[..], &body].concat()).await?;
    stream.flush().await?;
    task.sent(Lane::Status, body.len());
    Ok(())
}
