//! Keeps a yamux connection going: its substreams make no progress unless somebody polls it.

use crate::limits::{CLOSE_TIMEOUT, SUBSTREAMS_MAX};
use futures::future::poll_fn;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use std::{
    io,
    task::{Context, Poll},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// A running connection. Dropped, it closes.
pub(crate) struct Muxer {
    /// Substreams that the other side opened; more than fit are reset.
    inbound: mpsc::Receiver<SubstreamBox>,
    /// Never sent on: dropping it is the signal to close.
    _stop: oneshot::Sender<()>,
    /// Detached on drop, ends by itself within [`CLOSE_TIMEOUT`].
    _task: JoinHandle<()>,
}

impl Muxer {
    /// Opens some substreams and keeps the connection going on a task of its own.
    pub(crate) async fn start(
        mut connection: StreamMuxerBox,
        open: usize,
    ) -> io::Result<(Self, Vec<SubstreamBox>)> {
        let mut opened = Vec::with_capacity(open);
        for _ in 0..open {
            opened.push(poll_fn(|cx| connection.poll_outbound_unpin(cx)).await?);
        }
        let (sender, inbound) = mpsc::channel(SUBSTREAMS_MAX);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(drive(connection, sender, stopped));
        Ok((Self { inbound, _stop: stop, _task: task }, opened))
    }

    /// The next substream that the other side opened.
    pub(crate) async fn accept(&mut self) -> io::Result<SubstreamBox> {
        self.inbound.recv().await.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

async fn drive(
    mut connection: StreamMuxerBox,
    inbound: mpsc::Sender<SubstreamBox>,
    mut stopped: oneshot::Receiver<()>,
) {
    let broken = tokio::select! {
        cause = poll_fn(|cx| progress(&mut connection, &inbound, cx)) => Some(cause),
        _ = &mut stopped => None,
    };
    if let Some(cause) = broken {
        tracing::trace!(%cause, "connection ended");
        return;
    }
    // Lets what was written before leave, a goodbye above all.
    let _enough_either_way = timeout(CLOSE_TIMEOUT, connection.close()).await;
}

fn progress(
    connection: &mut StreamMuxerBox,
    inbound: &mpsc::Sender<SubstreamBox>,
    cx: &mut Context<'_>,
) -> Poll<io::Error> {
    loop {
        match connection.poll_inbound_unpin(cx) {
            // A full queue drops, and so resets, the substream.
            Poll::Ready(Ok(stream)) => drop(inbound.try_send(stream)),
            Poll::Ready(Err(cause)) => return Poll::Ready(cause),
            Poll::Pending => break,
        }
    }
    match connection.poll_unpin(cx) {
        Poll::Ready(Err(cause)) => Poll::Ready(cause),
        Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
    }
}
