//! Requests and answers: credits on both sides, deadlines, and answers matched to what was asked.

use crate::{
    codec::blocks::{BlocksMessage, Request, Response},
    counters::CounterCells,
    limits::{REQUEST_TIMEOUT, REQUESTS_IN_FLIGHT, REQUESTS_SERVED, REQUESTS_WAITING},
    peers::Link,
};
use entente_chain::NodeId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No session with the node.
    #[error("not connected")]
    NotConnected,
    /// The range is empty, too long or overflows.
    #[error("range of 1 to 256 blocks expected")]
    BadRange,
    /// Too many requests wait for this peer.
    #[error("too many requests to this peer")]
    Busy,
    /// The peer will not answer this one.
    #[error("declined by the peer")]
    Declined,
    /// No answer in time.
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    /// The session ended.
    #[error("disconnected")]
    Disconnected,
}

type Answer = Result<Response, RequestError>;

struct Call {
    count: u64,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct OpenCalls {
    last_id: u64,
    calls: BTreeMap<u64, Call>,
}

/// Both directions of requests with one peer.
pub(crate) struct Calls {
    /// Our own in flight.
    credit: Semaphore,
    /// Our own, in flight or waiting.
    places: Semaphore,
    /// Theirs being answered.
    served: Arc<Semaphore>,
    /// Private and never held over an await.
    open: Mutex<OpenCalls>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            credit: Semaphore::new(REQUESTS_IN_FLIGHT),
            places: Semaphore::new(REQUESTS_IN_FLIGHT + REQUESTS_WAITING),
            served: Arc::new(Semaphore::new(REQUESTS_SERVED)),
            open: Mutex::default(),
        }
    }
}

/// What an arriving answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Delivered,
    /// Its deadline has passed, or it was never asked for.
    Unasked,
    /// More blocks than asked.
    TooMany,
}

impl Calls {
    fn open(&self, count: u64) -> (u64, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        let mut open = self.lock();
        open.last_id = open.last_id.wrapping_add(1);
        let id = open.last_id;
        open.calls.insert(id, Call { count, answer });
        (id, receiver)
    }

    /// Hands an answer to whoever asked.
    pub(crate) fn arrived(&self, id: u64, answer: Answer) -> Arrived {
        let Some(call) = self.lock().calls.remove(&id) else { return Arrived::Unasked };
        if let Ok(Response::Blocks(blocks)) = &answer
            && blocks.len() as u64 > call.count
        {
            let _asker_may_be_gone = call.answer.send(Err(RequestError::Declined));
            return Arrived::TooMany;
        }
        let _asker_may_be_gone = call.answer.send(answer);
        Arrived::Delivered
    }

    /// Takes one of the places for requests of the peer.
    pub(crate) fn serve(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.served).try_acquire_owned().ok()
    }

    /// The session is over: everybody who waits is told.
    pub(crate) fn end(&self) {
        self.credit.close();
        self.lock().calls.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenCalls> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a call whose caller went away.
struct Forget<'a> {
    calls: &'a Calls,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(&self.id);
    }
}

/// Asks a peer and waits for the answer.
pub(crate) async fn ask(link: &Link, request: Request) -> Answer {
    request.check().map_err(|_| RequestError::BadRange)?;
    let _place = link.calls.places.try_acquire().map_err(|_| RequestError::Busy)?;
    timeout(REQUEST_TIMEOUT, ask_in_turn(link, request))
        .await
        .unwrap_or(Err(RequestError::TimedOut))
}

async fn ask_in_turn(link: &Link, request: Request) -> Answer {
    let calls = &link.calls;
    let _credit = calls.credit.acquire().await.map_err(|_| RequestError::Disconnected)?;
    let Request::Blocks { count, .. } = request;
    let (id, answer) = calls.open(count);
    let _forget = Forget { calls, id };
    let frame = BlocksMessage::Ask { id, request }.encode();
    link.blocks.push(frame, None).map_err(|_| RequestError::Busy)?;
    answer.await.unwrap_or(Err(RequestError::Disconnected))
}

/// A request of a peer, to be answered through `reply`.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub from: NodeId,
    /// For what.
    pub request: Request,
    /// Where the answer goes.
    pub reply: ReplySlot,
}

/// Takes the answer to one request; dropped without one, the peer is told that none will come.
pub struct ReplySlot {
    link: Arc<Link>,
    counters: Arc<CounterCells>,
    id: u64,
    served: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for ReplySlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplySlot").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ReplySlot {
    pub(crate) const fn new(
        link: Arc<Link>,
        counters: Arc<CounterCells>,
        id: u64,
        served: OwnedSemaphorePermit,
    ) -> Self {
        Self { link, counters, id, served: Some(served) }
    }

    /// Answers. Blocks beyond what one frame holds are left out; the peer asks again for them.
    pub fn send(mut self, response: Response) {
        let served = self.served.take();
        let answer = BlocksMessage::Answer { id: self.id, response: response.fitted() };
        if self.link.blocks.push(answer.encode(), served).is_err() {
            self.counters.dropped("answer to a peer that does not read");
            self.decline();
        }
    }

    fn decline(&self) {
        let frame = BlocksMessage::Decline { id: self.id }.encode();
        if self.link.blocks.push(frame, None).is_err() {
            self.counters.dropped("blocks queue full");
        }
    }
}

impl Drop for ReplySlot {
    fn drop(&mut self) {
        if self.served.take().is_some() {
            self.decline();
        }
    }
}
