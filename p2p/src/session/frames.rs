//! The channels whose frames pass through as bytes, and the writer that all lanes share.

use super::{OWNER_GONE, Task, lost_io, room};
use crate::{
    connection::LaneStream,
    events::Frame,
    frame::{self, FrameError},
    limits::{GATHER_BYTES, frame_bytes_max},
    peers::{DisconnectReason, Farewell, OutboxReader},
    wire::Lane,
};
use futures::{
    AsyncWriteExt as _,
    io::{BufReader, ReadHalf, WriteHalf},
};
use std::{io, sync::Arc};
use tokio::sync::{Semaphore, mpsc};

/// Reads one lane frame by frame, never holding more than the peer's room.
pub(super) struct FrameReader {
    task: Task,
    stream: BufReader<ReadHalf<LaneStream>>,
    lane: Lane,
    room: Arc<Semaphore>,
}

impl FrameReader {
    pub(super) fn new(task: Task, stream: ReadHalf<LaneStream>, lane: Lane) -> Self {
        let stream = BufReader::with_capacity(GATHER_BYTES, stream);
        Self { task, stream, lane, room: room(lane) }
    }

    pub(super) async fn next(&mut self) -> Result<Frame, DisconnectReason> {
        let limit = frame_bytes_max(self.lane);
        let length = match frame::read_length(&mut self.stream, limit).await {
            Ok(length) => length,
            Err(FrameError::Io(cause)) => return Err(lost_io(&cause)),
            Err(large @ FrameError::TooLarge { .. }) => {
                return Err(self.task.violation(self.lane, Farewell::FrameTooLarge, &large).await);
            }
        };
        let permits = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        let room = room.acquire_many_owned(permits).await.map_err(super::lost)?;
        let bytes =
            frame::read_body(&mut self.stream, length).await.map_err(|cause| lost_io(&cause))?;
        self.task.received(self.lane, length);
        Ok(Frame { from: self.task.link.peer.node, bytes, _room: room })
    }
}

/// Hands every frame of a channel to its owner.
pub(super) async fn read<T>(
    task: Task,
    stream: ReadHalf<LaneStream>,
    lane: Lane,
    outlet: mpsc::Sender<T>,
    wrap: fn(Frame) -> T,
) -> DisconnectReason {
    let mut reader = FrameReader::new(task, stream, lane);
    loop {
        match reader.next().await {
            Ok(frame) => {
                if outlet.send(wrap(frame)).await.is_err() {
                    return OWNER_GONE;
                }
            }
            Err(reason) => return reason,
        }
    }
}

/// Writes what waits in an outbox, small frames gathered into one write.
pub(super) async fn write(
    task: Task,
    stream: WriteHalf<LaneStream>,
    outbox: OutboxReader,
    lane: Lane,
) -> DisconnectReason {
    match write_all(&task, stream, outbox, lane).await {
        Ok(()) => DisconnectReason::ByUs(Farewell::Removed),
        Err(cause) => lost_io(&cause),
    }
}

async fn write_all(
    task: &Task,
    mut stream: WriteHalf<LaneStream>,
    mut outbox: OutboxReader,
    lane: Lane,
) -> io::Result<()> {
    let mut gathered = Vec::with_capacity(1024);
    while let Some(first) = outbox.next().await {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            let length = outgoing.bytes.len();
            gathered.extend_from_slice(&frame::header(length));
            if length > GATHER_BYTES {
                stream.write_all(&gathered).await?;
                gathered.clear();
                stream.write_all(&outgoing.bytes).await?;
            } else {
                gathered.extend_from_slice(&outgoing.bytes);
            }
            task.sent(lane, length);
            next = if gathered.len() < GATHER_BYTES { outbox.next_if_ready() } else { None };
        }
        stream.write_all(&gathered).await?;
        gathered.clear();
        stream.flush().await?;
    }
    Ok(())
}
