//! Blocks and headers.

use super::{Method, heavy, inline};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    params::{BlockSpec, Params},
    types::{BlockView, HeaderView, place_receipts},
    validators::tally_after,
};
use alloy_primitives::U64;
use entente_chain::{BlockNumber, Receipt, RecoveredBlock, SealedHeader, spec::EngineKind};
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    heavy("eth_getBlockByNumber", 2, block_by_number),
    heavy("eth_getBlockByHash", 2, block_by_hash),
    inline("eth_getHeaderByNumber", 1, header_by_number),
    inline("eth_getHeaderByHash", 1, header_by_hash),
    heavy("eth_getBlockTransactionCountByNumber", 1, transaction_count_by_number),
    heavy("eth_getBlockTransactionCountByHash", 1, transaction_count_by_hash),
    heavy("eth_getUncleCountByBlockNumber", 1, uncle_count_by_number),
    heavy("eth_getUncleCountByBlockHash", 1, uncle_count_by_hash),
    // Committed blocks of our engines have no uncles; explorers expect null, not an error.
    inline("eth_getUncleByBlockNumberAndIndex", 2, |service, _| service.answer(&())),
    inline("eth_getUncleByBlockHashAndIndex", 2, |service, _| service.answer(&())),
    heavy("eth_getBlockReceipts", 1, block_receipts),
];

/// The height of a block that is there.
pub(super) fn resolve(
    service: &Service,
    block: BlockSpec,
) -> Result<Option<BlockNumber>, RpcError> {
    let reader = &service.context.reader;
    Ok(match block {
        BlockSpec::Latest | BlockSpec::Pending => Some(reader.head().header.number),
        BlockSpec::Finalized => Some(finalized(service)?),
        BlockSpec::Earliest => Some(0),
        BlockSpec::Number(number) => Some(number).filter(|_| number <= reader.head().header.number),
        BlockSpec::Hash(hash) => reader.number(hash)?,
    })
}

/// The newest block that stays: the head, and under Clique, which has no finality, the block that
/// more than half of the signers may have built upon.
pub(crate) fn finalized(service: &Service) -> Result<BlockNumber, RpcError> {
    let head = service.context.reader.head().header.number;
    let spec = &service.context.spec;
    if spec.engine_at(head) != EngineKind::Clique {
        return Ok(head);
    }
    let depth = tally_after(service, head)?.validators().len() / 2 + 1;
    let below = (0..=head).rev().take(depth.saturating_add(1));
    // Blocks of the engine before were final.
    let settled = below.clone().find(|number| spec.engine_at(*number) != EngineKind::Clique);
    Ok(settled.or_else(|| below.last()).unwrap_or_default())
}

/// A header by any name, if it is there.
pub(super) fn find_header(
    service: &Service,
    block: BlockSpec,
) -> Result<Option<SealedHeader>, RpcError> {
    let Some(number) = resolve(service, block)? else { return Ok(None) };
    let found = service.context.reader.header(number)?;
    Ok(found.filter(|found| block.may_be(found.hash())))
}

/// A block by any name, if it is there.
pub(super) fn find(
    service: &Service,
    block: BlockSpec,
) -> Result<Option<Arc<RecoveredBlock>>, RpcError> {
    let Some(number) = resolve(service, block)? else { return Ok(None) };
    let found = service.context.reader.block(number)?;
    Ok(found.filter(|found| block.may_be(found.hash())))
}

/// The receipts of a block; none once the chain has left it.
pub(super) fn receipts_of(
    service: &Service,
    block: &RecoveredBlock,
) -> Result<Arc<Vec<Receipt>>, RpcError> {
    let read = service.context.reader.block_with_receipts(block.header.number)?;
    let same = read.filter(|(canonical, _)| canonical.hash() == block.hash());
    Ok(same.map(|(_, receipts)| receipts).unwrap_or_default())
}

fn answer_block(service: &Service, block: BlockSpec, whole: bool) -> Answer {
    let Some(block) = find(service, block)? else { return service.answer(&()) };
    let total = service.context.reader.total_difficulty(&block.header)?;
    service.answer(&BlockView::new(&block, total, whole))
}

fn block_by_number(service: &Service, params: &Params) -> Answer {
    answer_block(service, params.required_block(0)?, params.boolean(1)?)
}

fn block_by_hash(service: &Service, params: &Params) -> Answer {
    answer_block(service, BlockSpec::Hash(params.hash(0)?), params.boolean(1)?)
}

fn answer_header(service: &Service, block: BlockSpec) -> Answer {
    let reader = &service.context.reader;
    let Some(header) = find_header(service, block)? else { return service.answer(&()) };
    service.answer(&HeaderView::new(&header, reader.total_difficulty(&header)?))
}

fn header_by_number(service: &Service, params: &Params) -> Answer {
    answer_header(service, params.required_block(0)?)
}

fn header_by_hash(service: &Service, params: &Params) -> Answer {
    answer_header(service, BlockSpec::Hash(params.hash(0)?))
}

fn answer_count(
    service: &Service,
    block: BlockSpec,
    count: fn(&RecoveredBlock) -> usize,
) -> Answer {
    service.answer(&find(service, block)?.map(|block| U64::from(count(&block))))
}

fn transaction_count_by_number(service: &Service, params: &Params) -> Answer {
    answer_count(service, params.required_block(0)?, |block| block.transactions().len())
}

fn transaction_count_by_hash(service: &Service, params: &Params) -> Answer {
    answer_count(service, BlockSpec::Hash(params.hash(0)?), |block| block.transactions().len())
}

fn uncle_count_by_number(service: &Service, params: &Params) -> Answer {
    answer_count(service, params.required_block(0)?, |block| block.body.ommers.len())
}

fn uncle_count_by_hash(service: &Service, params: &Params) -> Answer {
    answer_count(service, BlockSpec::Hash(params.hash(0)?), |block| block.body.ommers.len())
}

fn block_receipts(service: &Service, params: &Params) -> Answer {
    let Some(block) = find(service, params.required_block(0)?)? else {
        return service.answer(&());
    };
    let receipts = receipts_of(service, &block)?;
    let private = service.private_receipts(&params.private_state, block.header.number)?;
    let views: Vec<_> = place_receipts(&block, &receipts, &private)
        .map(|placed| placed.view(&service.context.spec))
        .collect();
    service.answer(&views)
}
