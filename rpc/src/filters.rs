//! Filters that clients poll. A filter is a criterion and the block up to which it was answered;
//! nothing runs for it between two polls, and it dies when nobody asks for a while.

use crate::{
    RpcLimits,
    context::{NewHead, Service},
    error::{Answer, RpcError},
    log_query::{LogCriteria, LogFilter, LogRange, find_in_span, find_logs},
    params::BlockSpec,
    types::LogView,
};
use alloy_primitives::{B256, U128};
use entente_chain::{BlockNumber, RecoveredTransaction};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
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
    Logs(Box<LogFilter>, Receiver<Arc<NewHead>>),
    /// Hashes of new blocks.
    Blocks(Receiver<Arc<NewHead>>),
    /// Hashes of transactions that became executable. The receiver is a cursor into the shared
    /// ring of events: what a slow client misses is lost, nothing is kept for it.
    Pending(Receiver<Arc<RecoveredTransaction>>),
}

struct Filter {
    kind: Kind,
    connection: usize,
    /// First block of the next answer.
    next: BlockNumber,
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
    Logs(LogCriteria, Vec<Arc<NewHead>>, BlockNumber, BlockNumber),
    Blocks(BlockNumber, BlockNumber),
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

    fn add(&self, kind: Kind, connection: usize, next: BlockNumber) -> Result<U128, RpcError> {
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
        filters.insert(id, Filter { kind, connection, next, used: Instant::now() });
        Ok(id)
    }

    /// `eth_uninstallFilter`.
    pub(crate) fn remove(&self, id: U128) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn poll(&self, id: U128, head: BlockNumber) -> Result<Poll, RpcError> {
        let mut filters = self.lock();
        let filter = filters.get_mut(&id).ok_or_else(not_found)?;
        filter.used = Instant::now();
        let mut from = filter.next;
        Ok(match &mut filter.kind {
            Kind::Pending(receiver) => {
                let transactions = drain(receiver);
                Poll::Pending(transactions.iter().map(|transaction| transaction.hash()).collect())
            }
            Kind::Blocks(receiver) => {
                let left = drain(receiver).into_iter();
                from = left.map(|left| left.block.header.number).fold(from, BlockNumber::min);
                let to = head.min(from.saturating_add(BLOCKS_PER_POLL - 1));
                filter.next = from.max(to.saturating_add(1));
                Poll::Blocks(from, to)
            }
            Kind::Logs(wanted, receiver) => {
                // What the client was told of, newest first; then what stands there now.
                let left: Vec<_> = drain(receiver)
                    .into_iter()
                    .filter(|left| left.block.header.number < filter.next)
                    .collect();
                from =
                    left.iter().map(|left| left.block.header.number).fold(from, BlockNumber::min);
                let last = match wanted.range {
                    LogRange::Span(_, Some(BlockSpec::Number(last))) => last,
                    LogRange::Span(..) | LogRange::Block(_) => BlockNumber::MAX,
                };
                let to = head.min(last);
                filter.next = from.max(to.saturating_add(1));
                Poll::Logs(wanted.criteria.clone(), left, from, to)
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

fn drain<T: Clone>(receiver: &mut Receiver<T>) -> Vec<T> {
    let mut events = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(event) => events.push(event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return events,
        }
    }
}

/// `eth_newFilter`.
pub(crate) fn new_log_filter(
    service: &Service,
    filter: LogFilter,
    connection: usize,
) -> Result<U128, RpcError> {
    let head = service.context.reader.head().header.number;
    let after_head = head.saturating_add(1);
    let next = match filter.range {
        LogRange::Block(_) => {
            return Err(RpcError::InvalidParams("a filter cannot have a blockHash".into()));
        }
        LogRange::Span(Some(BlockSpec::Number(from)), Some(BlockSpec::Number(to))) if from > to => {
            return Err(RpcError::InvalidParams(format!("from {from} is after to {to}")));
        }
        // geth: changes are what is new; the past comes with eth_getFilterLogs.
        LogRange::Span(Some(BlockSpec::Number(from)), _) => from.max(after_head),
        LogRange::Span(..) => after_head,
    };
    let left = service.context.events.reverted.subscribe();
    service.filters.add(Kind::Logs(Box::new(filter), left), connection, next)
}

/// `eth_newBlockFilter`.
pub(crate) fn new_block_filter(service: &Service, connection: usize) -> Result<U128, RpcError> {
    let head = service.context.reader.head().header.number;
    let left = service.context.events.reverted.subscribe();
    service.filters.add(Kind::Blocks(left), connection, head.saturating_add(1))
}

/// `eth_newPendingTransactionFilter`.
pub(crate) fn new_pending_filter(service: &Service, connection: usize) -> Result<U128, RpcError> {
    let receiver = service.context.events.pending.subscribe();
    service.filters.add(Kind::Pending(receiver), connection, 0)
}

/// `eth_getFilterChanges`.
pub(crate) fn filter_changes(service: &Service, id: U128) -> Answer {
    let reader = &service.context.reader;
    match service.filters.poll(id, reader.head().header.number)? {
        Poll::Pending(hashes) => service.answer(&hashes),
        Poll::Blocks(from, to) => {
            let mut hashes = Vec::new();
            for number in from..=to {
                hashes.extend(reader.hash(number)?);
            }
            service.answer(&hashes)
        }
        Poll::Logs(criteria, left, from, to) => {
            let mut logs = Vec::new();
            for left in left {
                logs.extend(criteria.select(&left.block, &left.receipts));
            }
            logs.iter_mut().for_each(LogView::remove);
            logs.extend(find_in_span(service, &criteria, from, to)?);
            service.answer(&logs)
        }
    }
}

/// `eth_getFilterLogs`.
pub(crate) fn filter_logs(service: &Service, id: U128) -> Answer {
    let filter = service.filters.log_filter(id)?;
    service.answer(&find_logs(service, &filter)?)
}
