//! What gas costs: the next base fee, a tip to suggest, and the history of both.

use crate::{context::Service, error::RpcError, types::place_receipts};
use alloy_consensus::{Header, Transaction as _};
use alloy_eips::eip1559::BaseFeeParams;
use entente_chain::{BlockNumber, ChainSpec, SealedHeader, fork::Fork, spec::BaseFeeMode};

/// Blocks whose tips are looked at for a suggestion.
const TIP_BLOCKS: u64 = 20;
/// Transactions looked at per block, cheapest first (as geth).
const TIPS_PER_BLOCK: usize = 3;
const TIP_PERCENTILE: usize = 60;
/// Suggested where gas has a price and nobody paid one yet, in wei.
const DEFAULT_TIP: u128 = 1_000_000_000;

/// Base fee of the block after `parent`, in wei; `None` before London.
pub(crate) fn next_base_fee(spec: &ChainSpec, parent: &Header) -> Option<u64> {
    let number = parent.number.saturating_add(1);
    if spec.fork_at(number, parent.timestamp.saturating_add(1)) < Fork::London {
        return None;
    }
    Some(match spec.base_fee {
        BaseFeeMode::Zero => 0,
        BaseFeeMode::Fixed(fee) => fee,
        BaseFeeMode::Eip1559 { initial } => {
            parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or(initial)
        }
    })
}

/// Whether transactions pay for gas at all.
fn gas_is_free(service: &Service, head: BlockNumber) -> bool {
    let spec = &service.context.spec;
    let zero = matches!(spec.base_fee, BaseFeeMode::Zero | BaseFeeMode::Fixed(_));
    zero || !spec.rules_at(head.saturating_add(1)).gas_price_enabled
}

/// A tip that got transactions into recent blocks, in wei.
pub(crate) fn suggested_tip(service: &Service) -> Result<u128, RpcError> {
    let reader = &service.context.reader;
    let head = reader.head().header.number;
    if gas_is_free(service, head) {
        return Ok(0);
    }
    let mut tips = Vec::new();
    for number in head.saturating_sub(TIP_BLOCKS - 1)..=head {
        let Some(block) = reader.block(number)? else { continue };
        let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
        let mut of_block: Vec<u128> = block
            .transactions()
            .iter()
            .filter_map(|transaction| transaction.effective_tip_per_gas(base_fee))
            .collect();
        of_block.sort_unstable();
        tips.extend(of_block.into_iter().take(TIPS_PER_BLOCK));
    }
    tips.sort_unstable();
    let position = tips.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    Ok(tips.get(position).copied().unwrap_or(DEFAULT_TIP))
}

/// `eth_gasPrice`: the next base fee and the suggested tip, in wei.
pub(crate) fn suggested_price(service: &Service) -> Result<u128, RpcError> {
    let head = service.context.reader.head();
    let base_fee = next_base_fee(&service.context.spec, head.header.header()).unwrap_or_default();
    Ok(u128::from(base_fee) + suggested_tip(service)?)
}

/// Tips of one block by percentile of gas, in wei; zeroes when the block is empty.
pub(crate) fn rewards(
    service: &Service,
    header: &SealedHeader,
    percentiles: &[f64],
) -> Result<Vec<u128>, RpcError> {
    let read = service.context.reader.block_with_receipts(header.number)?;
    let Some((block, receipts)) = read.filter(|(block, _)| block.hash() == header.hash()) else {
        return Ok(vec![0; percentiles.len()]);
    };
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let mut paid: Vec<(u128, u64)> = place_receipts(&block, &receipts, &[])
        .map(|placed| {
            let tip = placed.transaction.effective_tip_per_gas(base_fee).unwrap_or_default();
            (tip, placed.gas_used())
        })
        .collect();
    paid.sort_unstable_by_key(|(tip, _)| *tip);
    let mut rest = paid.iter();
    let mut current = rest.next();
    let mut sum = current.map_or(0, |(_, gas)| *gas);
    let mut tips = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        let threshold = share(header.gas_used, *percentile);
        while sum < threshold {
            let Some(next) = rest.next() else { break };
            sum = sum.saturating_add(next.1);
            current = Some(next);
        }
        tips.push(current.map_or(0, |(tip, _)| *tip));
    }
    Ok(tips)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentile is between 0 and 100, and a float cast saturates"
)]
fn share(gas: u64, percentile: f64) -> u64 {
    (gas as f64 * percentile / 100.0) as u64
}
