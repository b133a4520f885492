//! Blocks, headers and receipts as bytes.

use super::{
    Method,
    blocks::{find, resolve},
    heavy,
};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    params::Params,
};
use alloy_consensus::{ReceiptWithBloom, TxReceipt as _};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::Bytes;
use entente_chain::BlockNumber;

pub(super) const METHODS: &[Method] = &[
    heavy("debug_getRawHeader", 1, raw_header),
    heavy("debug_getRawBlock", 1, raw_block),
    heavy("debug_getRawReceipts", 1, raw_receipts),
];

fn number(service: &Service, params: &Params) -> Result<BlockNumber, RpcError> {
    resolve(service, params.required_block(0)?)?.ok_or_else(RpcError::header_not_found)
}

fn raw_header(service: &Service, params: &Params) -> Answer {
    let header = service.context.reader.header(number(service, params)?)?;
    let header = header.ok_or_else(RpcError::header_not_found)?;
    service.answer(&Bytes::from(alloy_rlp::encode(header.header())))
}

fn raw_block(service: &Service, params: &Params) -> Answer {
    let block = find(service, params.required_block(0)?)?;
    let block = block.ok_or_else(RpcError::header_not_found)?;
    service.answer(&Bytes::from(alloy_rlp::encode(&*block)))
}

fn raw_receipts(service: &Service, params: &Params) -> Answer {
    let receipts = service.context.reader.receipts(number(service, params)?)?.unwrap_or_default();
    let encoded: Vec<Bytes> = receipts
        .iter()
        .map(|receipt| {
            let logs_bloom = receipt.bloom();
            ReceiptWithBloom { receipt, logs_bloom }.encoded_2718().into()
        })
        .collect();
    service.answer(&encoded)
}
