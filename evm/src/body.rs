//! Holds a header against its body and against what execution gave.

use crate::{BlockError, Executed, environment::BlockFacts};
use alloy_consensus::{
    Header, ReceiptWithBloom,
    proofs::{calculate_ommers_root, calculate_withdrawals_root, ordered_trie_root_with_encoder},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bloom};
use entente_chain::{BlockBody, Receipt, RecoveredTransaction, fork::Fork};
use std::sync::Arc;

/// Root of the transactions, from the bytes they came in.
pub(crate) fn transactions_root(transactions: &[Arc<RecoveredTransaction>]) -> B256 {
    ordered_trie_root_with_encoder(transactions, |transaction, out| {
        out.extend_from_slice(transaction.encoded());
    })
}

/// Root of the receipts, each with the bloom of its logs.
pub(crate) fn receipts_root(receipts: &[Receipt], blooms: &[Bloom]) -> B256 {
    let pairs: Vec<_> = receipts.iter().zip(blooms).collect();
    ordered_trie_root_with_encoder(&pairs, |(receipt, bloom), out| {
        ReceiptWithBloom { receipt: *receipt, logs_bloom: **bloom }.encode_2718(out);
    })
}

/// What can be checked before anything runs.
pub(crate) fn check(
    facts: &BlockFacts,
    header: &Header,
    body: &BlockBody,
) -> Result<(), BlockError> {
    let (got, expected) = (transactions_root(&body.transactions), header.transactions_root);
    if got != expected {
        return Err(BlockError::TransactionsRoot { got, expected });
    }
    let (got, expected) = (calculate_ommers_root(&body.ommers), header.ommers_hash);
    if got != expected {
        return Err(BlockError::OmmersHash { got, expected });
    }
    let fits = match &body.withdrawals {
        // EIP-4895. Our engines have no validators that could withdraw.
        Some(list) => facts.fork >= Fork::Shanghai && (facts.is_ethereum() || list.is_empty()),
        None => facts.fork < Fork::Shanghai,
    };
    if !fits {
        return Err(BlockError::Withdrawals { got: body.withdrawals.as_ref().map(|w| w.len()) });
    }
    let got = body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list));
    let expected = header.withdrawals_root;
    if got != expected {
        return Err(BlockError::WithdrawalsRoot { got, expected });
    }
    Ok(())
}

/// What only execution knows.
pub(crate) fn check_executed(
    header: &Header,
    executed: &Executed,
    receipts_root: B256,
) -> Result<(), BlockError> {
    let (got, expected) = (executed.gas_used, header.gas_used);
    if got != expected {
        return Err(BlockError::GasUsed { got, expected });
    }
    if executed.bloom != header.logs_bloom {
        return Err(BlockError::LogsBloom {
            got: Box::new(executed.bloom),
            expected: Box::new(header.logs_bloom),
        });
    }
    let (got, expected) = (receipts_root, header.receipts_root);
    if got != expected {
        return Err(BlockError::ReceiptsRoot { got, expected });
    }
    let (got, expected) = (executed.requests_hash, header.requests_hash);
    if got != expected {
        return Err(BlockError::RequestsHash { got, expected });
    }
    Ok(())
}
