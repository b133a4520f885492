//! The waiting transactions.

use super::{Method, waits};
use crate::{
    PoolContent, backend::BoxFuture, context::Service, error::Answer, params::Params,
    types::TransactionView,
};
use alloy_consensus::Transaction as _;
use alloy_primitives::U64;
use entente_chain::RecoveredTransaction;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

pub(super) const METHODS: &[Method] = &[
    waits("txpool_status", 0, status),
    waits("txpool_content", 0, content),
    waits("txpool_contentFrom", 1, content_from),
    waits("txpool_inspect", 0, inspect),
];

#[derive(Serialize)]
struct Status {
    pending: U64,
    queued: U64,
}

#[derive(Serialize)]
struct Parts<T> {
    pending: T,
    queued: T,
}

/// By nonce, in decimal.
type ByNonce<V> = BTreeMap<String, V>;

fn status(service: Arc<Service>, _: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let status = service.context.backend.pool_status().await;
        let (pending, queued) = (U64::from(status.pending), U64::from(status.queued));
        service.answer(&Status { pending, queued })
    })
}

fn content(service: Arc<Service>, _: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let content = service.context.backend.pool_content(None).await;
        service.answer(&by_sender(&content, TransactionView::waiting))
    })
}

fn content_from(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let sender = params.address(0)?;
        let content = service.context.backend.pool_content(Some(sender)).await;
        let part = |list| by_nonce(list, TransactionView::waiting);
        service.answer(&Parts { pending: part(&content.pending), queued: part(&content.queued) })
    })
}

fn inspect(service: Arc<Service>, _: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let content = service.context.backend.pool_content(None).await;
        service.answer(&by_sender(&content, summary))
    })
}

/// geth's one line.
fn summary(transaction: &RecoveredTransaction) -> String {
    let to = match transaction.to() {
        Some(to) => format!("{to}"),
        None => "contract creation".into(),
    };
    format!(
        "{to}: {} wei + {} gas × {} wei",
        transaction.value(),
        transaction.gas_limit(),
        transaction.max_fee_per_gas()
    )
}

fn by_nonce<'a, V>(
    list: &'a [Arc<RecoveredTransaction>],
    view: impl Fn(&'a RecoveredTransaction) -> V,
) -> ByNonce<V> {
    list.iter().map(|transaction| (transaction.nonce().to_string(), view(transaction))).collect()
}

fn by_sender<'a, V>(
    content: &'a PoolContent,
    view: impl Fn(&'a RecoveredTransaction) -> V,
) -> Parts<BTreeMap<String, ByNonce<V>>> {
    let part = |list: &'a [Arc<RecoveredTransaction>]| {
        let mut senders: BTreeMap<String, ByNonce<V>> = BTreeMap::new();
        for transaction in list {
            let sender = senders.entry(transaction.sender().to_string()).or_default();
            sender.insert(transaction.nonce().to_string(), view(transaction));
        }
        senders
    };
    Parts { pending: part(&content.pending), queued: part(&content.queued) }
}
