//! Transactions and receipts, and how transactions come in.

use super::{
    Method,
    blocks::{find, receipts_of},
    heavy, waits,
};
use crate::{
    backend::BoxFuture,
    context::{NewHead, Service},
    error::{Answer, RpcError},
    params::{BlockSpec, Params},
    types::{TransactionView, place_receipts},
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{RecoveredBlock, RecoveredTransaction};
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How long `eth_sendRawTransactionSync` waits when the caller does not say, and at most.
const SYNC_WAIT: Duration = Duration::from_secs(20);
const SYNC_WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) const METHODS: &[Method] = &[
    waits("eth_getTransactionByHash", 1, by_hash),
    heavy("eth_getTransactionByBlockNumberAndIndex", 2, by_number_and_index),
    heavy("eth_getTransactionByBlockHashAndIndex", 2, by_block_hash_and_index),
    waits("eth_getRawTransactionByHash", 1, raw_by_hash),
    heavy("eth_getRawTransactionByBlockNumberAndIndex", 2, raw_by_number_and_index),
    heavy("eth_getRawTransactionByBlockHashAndIndex", 2, raw_by_block_hash_and_index),
    heavy("eth_getTransactionReceipt", 1, receipt),
    waits("eth_sendRawTransaction", 1, send_raw),
    waits("eth_sendRawTransactionSync", 2, send_raw_and_wait),
    waits("eth_pendingTransactions", 0, pending),
    waits("debug_getRawTransaction", 1, raw_by_hash),
];

/// A committed transaction: its block and its position.
pub(super) fn committed(
    service: &Service,
    hash: B256,
) -> Result<Option<(Arc<RecoveredBlock>, usize)>, RpcError> {
    let found = service.context.reader.block_of_transaction(hash)?;
    let Some((block, index)) = found else { return Ok(None) };
    let index = usize::try_from(index).map_err(|cause| RpcError::internal(&cause))?;
    Ok(Some((block, index)))
}

fn answer_included(service: &Service, block: &RecoveredBlock, index: usize) -> Answer {
    let view = block
        .transactions()
        .get(index)
        .map(|transaction| TransactionView::included(transaction, &block.header, index));
    service.answer(&view)
}

/// Looks among the committed transactions, then in the pool.
fn find_anywhere(
    service: Arc<Service>,
    params: Params,
    included: fn(&Service, &RecoveredBlock, usize) -> Answer,
    waiting: fn(&Service, &RecoveredTransaction) -> Answer,
) -> BoxFuture<Answer> {
    Box::pin(async move {
        let hash = params.hash(0)?;
        let answer = Arc::clone(&service)
            .run_heavy(move |service| match committed(service, hash)? {
                Some((block, index)) => included(service, &block, index).map(Some),
                None => Ok(None),
            })
            .await?;
        match answer {
            Some(answer) => Ok(answer),
            None => match service.context.backend.pooled(hash).await {
                Some(transaction) => waiting(&service, &transaction),
                None => service.answer(&()),
            },
        }
    })
}

fn by_hash(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    find_anywhere(service, params, answer_included, |service, transaction| {
        service.answer(&TransactionView::waiting(transaction))
    })
}

fn raw_by_hash(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    find_anywhere(service, params, answer_raw, |service, transaction| {
        service.answer(transaction.encoded())
    })
}

fn answer_raw(service: &Service, block: &RecoveredBlock, index: usize) -> Answer {
    service.answer(&block.transactions().get(index).map(|transaction| transaction.encoded()))
}

fn at_index(
    service: &Service,
    block: BlockSpec,
    params: &Params,
    answer: fn(&Service, &RecoveredBlock, usize) -> Answer,
) -> Answer {
    let index = params.quantity(1)?;
    let (Some(block), Ok(index)) = (find(service, block)?, usize::try_from(index)) else {
        return service.answer(&());
    };
    answer(service, &block, index)
}

fn by_number_and_index(service: &Service, params: &Params) -> Answer {
    at_index(service, params.required_block(0)?, params, answer_included)
}

fn by_block_hash_and_index(service: &Service, params: &Params) -> Answer {
    at_index(service, BlockSpec::Hash(params.hash(0)?), params, answer_included)
}

fn raw_by_number_and_index(service: &Service, params: &Params) -> Answer {
    at_index(service, params.required_block(0)?, params, answer_raw)
}

fn raw_by_block_hash_and_index(service: &Service, params: &Params) -> Answer {
    at_index(service, BlockSpec::Hash(params.hash(0)?), params, answer_raw)
}

fn receipt(service: &Service, params: &Params) -> Answer {
    let Some((block, index)) = committed(service, params.hash(0)?)? else {
        return service.answer(&());
    };
    let receipts = receipts_of(service, &block)?;
    let private = service.private_receipts(&params.private_state, block.header.number)?;
    let view = place_receipts(&block, &receipts, &private)
        .nth(index)
        .map(|placed| placed.view(&service.context.spec));
    service.answer(&view)
}

/// The place among other sends is taken when this is first polled.
fn send_raw(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let hash = service.desk.send(params.bytes(0)?).await?;
        service.answer(&hash)
    })
}

/// Sends, then waits until the transaction is committed (EIP-7966); the wait in milliseconds is the
/// caller's within bounds.
fn send_raw_and_wait(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let encoded: Bytes = params.bytes(0)?;
        let wait = match params.optional::<serde_json::Value>(1)? {
            None => SYNC_WAIT,
            Some(_) => Duration::from_millis(params.count(1)?).min(SYNC_WAIT_MAX),
        };
        let mut heads = service.context.events.heads.subscribe();
        let hash = service.desk.send(encoded).await?;
        let included = async {
            loop {
                match heads.recv().await {
                    Ok(head) => {
                        if let Some(answer) = receipt_in(&service, &params, &head, hash) {
                            return answer;
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => {
                        return Err(RpcError::Refused("the node is shutting down".into()));
                    }
                }
            }
        };
        let timed_out = |_| {
            RpcError::Timeout(format!(
                "transaction {hash} was added to the pool but not committed within {} ms",
                wait.as_millis()
            ))
        };
        tokio::time::timeout(wait, included).await.map_err(timed_out)?
    })
}

fn receipt_in(service: &Service, params: &Params, head: &NewHead, hash: B256) -> Option<Answer> {
    if head.removed {
        return None;
    }
    let placed =
        place_receipts(&head.block, &head.receipts, head.private_of(&params.private_state))
            .find(|placed| placed.transaction.hash() == hash)?;
    Some(service.answer(&placed.view(&service.context.spec)))
}

/// Waiting transactions of accounts that this node manages: it manages none.
fn pending(service: Arc<Service>, _: Params) -> BoxFuture<Answer> {
    Box::pin(async move { service.answer::<[(); 0]>(&[]) })
}
