//! Filters that clients poll. A filter is a criterion and the block up to which it was answered;
//! nothing runs for it between two polls, and it dies when nobody asks for a while. When the chain
//! left blocks that a filter told of, its next answer begins with them.

use crate::{
    RpcLimits,
    context::{NewHead, Service},
    error::{Answer, RpcError},
    log_query::{LogFilter, LogRange, find_in_span, find_logs},
    params::BlockSpec,
    types::LogView,
};
use alloy_primitives::{B256, U128};
use entente_chain::{BlockNumber, RecoveredTransaction};
use entente_storage::ChainReader;
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// Block hashes in one answer; the rest comes with the next poll.
const BLOCKS_PER_POLL: u64 = 10_000;

/// What a filter is about.
enum Kind {
    /// New logs, and those of blocks that were left.
    Logs(Box<LogFilter>, Cursor),
    /// Hashes of new blocks.
    Blocks(Cursor),
    /// Hashes of transactions that became executable. The receiver is a cursor into the shared
    /// ring of events: what a slow client misses is lost, nothing is kept for it.
    Pending(Receiver<Arc<RecoveredTransaction>>),
}

/// How far a filter was answered.
struct Cursor {
    /// First block that the filter is about.
    start: BlockNumber,
    /// First block of the next answer.
    next: BlockNumber,
    /// Hash of the block before that, once the filter told of it.
    told: Option<B256>,
    /// Blocks that the chain leaves.
    left: Receiver<Arc<NewHead>>,
}

/// What a filter answers next.
struct Step {
    /// Blocks that it told of and that were left, newest first.
    left: Vec<Arc<NewHead>>,
    /// Blocks to tell of.
    new: Range<BlockNumber>,
}

impl Cursor {
    /// Begins after the head, or later.
    fn new(service: &Service, from: BlockNumber) -> Self {
        // Listens before it looks, so that it misses no change of branches after.
        let left = service.context.events.reverted.subscribe();
        let head = service.context.reader.head().header.number;
        let start = from.max(head.saturating_add(1));
        Self { start, next: start, told: None, left }
    }

    /// Goes on to the head, but not beyond block `last`.
    fn advance(&mut self, reader: &ChainReader, last: BlockNumber) -> Result<Step, RpcError> {
        let (events, complete) = drain(&mut self.left);
        let told = self.start..self.next;
        let left = events.into_iter().filter(|left| told.contains(&left.block.header.number));
        let left: Vec<_> = left.collect();
        if left.is_empty() && complete && !self.stands(reader)? {
            // The chain is changing its branch right now: the next answer has both.
            return Ok(Step { left, new: self.next..self.next });
        }
        let from = left.iter().map(|left| left.block.header.number).fold(self.next, Ord::min);
        let end = reader.head().header.number.min(last).saturating_add(1).max(from);
        self.told = match end > self.start {
            true => reader.hash(end.saturating_sub(1))?,
            false => None,
        };
        self.next = end;
        Ok(Step { left, new: from..end })
    }

    /// Whether what was told last is still canonical.
    fn stands(&self, reader: &ChainReader) -> Result<bool, RpcError> {
        match (self.told, self.next.checked_sub(1)) {
            (Some(told), Some(before)) => Ok(reader.hash(before)? == Some(told)),
            _ => Ok(true),
        }
    }
}

struct Filter {
    kind: Kind,
    connection: usize,
    used: Instant,
}

/// All filters.
pub(crate) struct Filters {
    filters: Mutex<HashMap<U128, Filter>>,
    ids: Ids,
    total: usize,
    per_connection: usize,
    life: Duration,
}

/// Ids that cannot be guessed from one another.
struct Ids {
    state: RandomState,
    count: AtomicU64,
}

impl Ids {
    fn next(&self) -> U128 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (self.state.hash_one((count, 0)), self.state.hash_one((count, 1)));
        U128::from(u128::from(high) << 64 | u128::from(low))
    }
}

/// What a poll must do once the lock is released.
enum Poll {
    Logs(Box<LogFilter>, Step),
    Blocks(Range<BlockNumber>),
    Pending(Vec<B256>),
}

impl Filters {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            filters: Mutex::new(HashMap::new()),
            ids: Ids { state: RandomState::new(), count: AtomicU64::new(0) },
            total: limits.filters,
            per_connection: limits.filters_per_connection,
            life: limits.filter_life,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<U128, Filter>> {
        // No code panics while it holds the lock, so the map is whole.
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        filters.retain(|_, filter| now.duration_since(filter.used) < self.life);
        filters
    }

    fn add(&self, kind: Kind, connection: usize) -> Result<U128, RpcError> {
        let mut filters = self.lock();
        let own = filters.values().filter(|filter| filter.connection == connection).count();
        if filters.len() >= self.total || own >= self.per_connection {
            let allowed = self.per_connection;
            return Err(RpcError::Limit(format!(
                "too many filters, {allowed} allowed per connection, {} in all",
                self.total
            )));
        }
        let id = self.ids.next();
        filters.insert(id, Filter { kind, connection, used: Instant::now() });
        Ok(id)
    }

    /// `eth_uninstallFilter`.
    pub(crate) fn remove(&self, id: U128) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn poll(&self, id: U128, reader: &ChainReader) -> Result<Poll, RpcError> {
        let mut filters = self.lock();
        let filter = filters.get_mut(&id).ok_or_else(not_found)?;
        filter.used = Instant::now();
        Ok(match &mut filter.kind {
            Kind::Pending(receiver) => {
                let (transactions, _) = drain(receiver);
                Poll::Pending(transactions.iter().map(|transaction| transaction.hash()).collect())
            }
            Kind::Blocks(cursor) => {
                let most = cursor.next.saturating_add(BLOCKS_PER_POLL - 1);
                Poll::Blocks(cursor.advance(reader, most)?.new)
            }
            Kind::Logs(wanted, cursor) => {
                let last = match wanted.range {
                    LogRange::Span(_, Some(BlockSpec::Number(last))) => last,
                    LogRange::Span(..) | LogRange::Block(_) => BlockNumber::MAX,
                };
                Poll::Logs(wanted.clone(), cursor.advance(reader, last)?)
            }
        })
    }

    fn log_filter(&self, id: U128) -> Result<LogFilter, RpcError> {
        let mut filters = self.lock();
        let filter = filters.get_mut(&id).ok_or_else(not_found)?;
        filter.used = Instant::now();
        match &filter.kind {
            Kind::Logs(wanted, _) => Ok(LogFilter::clone(wanted)),
            Kind::Blocks(_) | Kind::Pending(_) => Err(not_found()),
        }
    }
}

fn not_found() -> RpcError {
    // FireFly makes its filter again when it reads this text.
    RpcError::Refused("filter not found".into())
}

/// The events that wait, and whether they are all that there were.
fn drain<T: Clone>(receiver: &mut Receiver<T>) -> (Vec<T>, bool) {
    let (mut events, mut complete) = (Vec::new(), true);
    loop {
        match receiver.try_recv() {
            Ok(event) => events.push(event),
            Err(TryRecvError::Lagged(_)) => complete = false,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return (events, complete),
        }
    }
}

/// `eth_newFilter`.
pub(crate) fn new_log_filter(
    service: &Service,
    filter: LogFilter,
    connection: usize,
) -> Result<U128, RpcError> {
    // geth: changes are what is new; the past comes with eth_getFilterLogs.
    let from = match filter.range {
        LogRange::Block(_) => {
            return Err(RpcError::InvalidParams("a filter cannot have a blockHash".into()));
        }
        LogRange::Span(Some(BlockSpec::Number(from)), Some(BlockSpec::Number(to))) if from > to => {
            return Err(RpcError::InvalidParams(format!("from {from} is after to {to}")));
        }
        LogRange::Span(Some(BlockSpec::Number(from)), _) => from,
        LogRange::Span(..) => 0,
    };
    let cursor = Cursor::new(service, from);
    service.filters.add(Kind::Logs(Box::new(filter), cursor), connection)
}

/// `eth_newBlockFilter`.
pub(crate) fn new_block_filter(service: &Service, connection: usize) -> Result<U128, RpcError> {
    service.filters.add(Kind::Blocks(Cursor::new(service, 0)), connection)
}

/// `eth_newPendingTransactionFilter`.
pub(crate) fn new_pending_filter(service: &Service, connection: usize) -> Result<U128, RpcError> {
    let receiver = service.context.events.pending.subscribe();
    service.filters.add(Kind::Pending(receiver), connection)
}

/// `eth_getFilterChanges`.
pub(crate) fn filter_changes(service: &Service, id: U128) -> Answer {
    let reader = &service.context.reader;
    match service.filters.poll(id, reader)? {
        Poll::Pending(hashes) => service.answer(&hashes),
        Poll::Blocks(new) => {
            let mut hashes = Vec::new();
            for number in new {
                hashes.extend(reader.hash(number)?);
            }
            service.answer(&hashes)
        }
        Poll::Logs(filter, Step { left, new }) => {
            let mut logs = Vec::new();
            for left in left {
                let private = left.private_of(&filter.private_state);
                logs.extend(filter.criteria.select(&left.block, &left.receipts, private));
            }
            logs.iter_mut().for_each(LogView::remove);
            if let Some(last) = new.end.checked_sub(1).filter(|last| *last >= new.start) {
                logs.extend(find_in_span(service, &filter, new.start, last)?);
            }
            service.answer(&logs)
        }
    }
}

/// `eth_getFilterLogs`.
pub(crate) fn filter_logs(service: &Service, id: U128) -> Answer {
    let filter = service.filters.log_filter(id)?;
    service.answer(&find_logs(service, &filter)?)
}
