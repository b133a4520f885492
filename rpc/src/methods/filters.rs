//! Logs, and filters that are polled.

use super::{Method, heavy, inline};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    filters::{filter_changes, filter_logs, new_block_filter, new_log_filter, new_pending_filter},
    log_query::{LogFilter, find_logs},
    params::Params,
};
use alloy_primitives::U128;
use serde_json::Value;

pub(super) const METHODS: &[Method] = &[
    heavy("eth_getLogs", 1, logs),
    inline("eth_newFilter", 1, new_filter),
    inline("eth_newBlockFilter", 0, |service, params| {
        service.answer(&new_block_filter(service, params.connection)?)
    }),
    inline("eth_newPendingTransactionFilter", 1, |service, params| {
        service.answer(&new_pending_filter(service, params.connection)?)
    }),
    heavy("eth_getFilterChanges", 1, |service, params| filter_changes(service, id(params)?)),
    heavy("eth_getFilterLogs", 1, |service, params| filter_logs(service, id(params)?)),
    inline("eth_uninstallFilter", 1, |service, params| {
        service.answer(&service.filters.remove(id(params)?))
    }),
];

fn filter(service: &Service, params: &Params) -> Result<LogFilter, RpcError> {
    let private_state = params.private_state.clone();
    LogFilter::parse(&params.json::<Value>(0)?, &service.limits, 0, private_state)
}

fn logs(service: &Service, params: &Params) -> Answer {
    service.answer(&find_logs(service, &filter(service, params)?)?)
}

fn new_filter(service: &Service, params: &Params) -> Answer {
    let filter = filter(service, params)?;
    service.answer(&new_log_filter(service, filter, params.connection)?)
}

/// Anything that is not an id is the id of no filter.
fn id(params: &Params) -> Result<U128, RpcError> {
    let text = params.text(0)?;
    let digits = text.strip_prefix("0x").unwrap_or_default();
    let parsed = U128::from_str_radix(digits, 16).ok().filter(|_| !digits.is_empty());
    parsed.ok_or_else(|| RpcError::Refused("filter not found".into()))
}
