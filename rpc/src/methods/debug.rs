//! Blocks, headers and receipts as bytes.

use super::{
    Method,
    blocks::{find, find_header, receipts_of},
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

pub(super) const METHODS: &[Method] = &[
    heavy("debug_getRawHeader", 1, raw_header),
    heavy("debug_getRawBlock", 1, raw_block),
    heavy("debug_getRawReceipts", 1, raw_receipts),
];

fn raw_header(service: &Service, params: &Params) -> Answer {
    let header = find_header(service, params.required_block(0)?)?;
    let header = header.ok_or_else(RpcError::header_not_found)?;
    service.answer(&Bytes::from(alloy_rlp::encode(header.header())))
}

fn raw_block(service: &Service, params: &Params) -> Answer {
    let block = find(service, params.required_block(0)?)?;
    let block = block.ok_or_else(RpcError::header_not_found)?;
    service.answer(&Bytes::from(alloy_rlp::encode(&*block)))
}

fn raw_receipts(service: &Service, params: &Params) -> Answer {
    let block = find(service, params.required_block(0)?)?;
    let block = block.ok_or_else(RpcError::header_not_found)?;
    let receipts = receipts_of(service, &block)?;
    let encoded: Vec<Bytes> = receipts
        .iter()
        .map(|receipt| {
            let logs_bloom = receipt.bloom();
            ReceiptWithBloom { receipt, logs_bloom }.encoded_2718().into()
        })
        .collect();
    service.answer(&encoded)
}
