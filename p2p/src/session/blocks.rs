//! The blocks lane of a session: requests of the peer and answers to ours.

use super::{OWNER_GONE, Task, frames::FrameReader};
use crate::{
    codec::blocks::{BlocksMessage, Request},
    connection::LaneStream,
    limits::PENALTY_NUISANCE,
    peers::{DisconnectReason, Farewell},
    request::{Arrived, Asked, ReplySlot, RequestError},
    wire::Lane,
};
use futures::io::ReadHalf;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;

pub(super) async fn read(task: Task, stream: ReadHalf<LaneStream>) -> DisconnectReason {
    let mut reader = FrameReader::new(task.clone(), stream, Lane::Blocks);
    loop {
        let frame = match reader.next().await {
            Ok(frame) => frame,
            Err(reason) => return reason,
        };
        let outcome = match BlocksMessage::decode(&frame.bytes) {
            Ok(BlocksMessage::Ask { id, request }) => asked(&task, id, request).await,
            Ok(BlocksMessage::Answer { id, response }) => answered(&task, id, Ok(response)).await,
            Ok(BlocksMessage::Decline { id }) => {
                answered(&task, id, Err(RequestError::Declined)).await
            }
            Err(error) => Err(task.violation(Lane::Blocks, Farewell::Malformed, &error).await),
        };
        if let Err(reason) = outcome {
            return reason;
        }
    }
}

async fn asked(task: &Task, id: u64, request: Request) -> Result<(), DisconnectReason> {
    if let Err(error) = request.check() {
        return Err(task.violation(Lane::Blocks, Farewell::Malformed, &error).await);
    }
    let Some(served) = task.link.calls.serve() else {
        // More than an honest node has in flight, but for requests that timed out on its side.
        task.local.counters.dropped("request beyond the credit");
        task.penalize(PENALTY_NUISANCE, "requests beyond the credit").await;
        let decline = BlocksMessage::Decline { id }.encode();
        task.link.push(Lane::Blocks, decline, &task.local.counters);
        return Ok(());
    };
    let (link, counters) = (Arc::clone(&task.link), Arc::clone(&task.local.counters));
    let reply = ReplySlot::new(link, counters, id, served);
    let asked = Asked { from: task.link.peer.node, request, reply };
    match task.local.outlets.requests.try_send(asked) {
        Ok(()) => Ok(()),
        // Dropping the reply declines.
        Err(TrySendError::Full(_)) => {
            task.local.counters.dropped("requests inbox full");
            Ok(())
        }
        Err(TrySendError::Closed(_)) => Err(OWNER_GONE),
    }
}

async fn answered(
    task: &Task,
    id: u64,
    answer: Result<crate::codec::blocks::Response, RequestError>,
) -> Result<(), DisconnectReason> {
    match task.link.calls.arrived(id, answer) {
        Arrived::Delivered => Ok(()),
        Arrived::Unasked => {
            task.local.counters.dropped("answer nobody waits for");
            task.penalize(PENALTY_NUISANCE, "answer nobody waits for").await;
            Ok(())
        }
        Arrived::TooMany => {
            Err(task.violation(Lane::Blocks, Farewell::Malformed, &"more blocks than asked").await)
        }
    }
}
