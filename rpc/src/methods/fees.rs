//! Prices of gas.

use super::{Method, blocks::resolve, heavy, inline};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    fees::{next_base_fee, rewards, suggested_price, suggested_tip},
    params::{BlockSpec, Params},
    types::{blob_base_fee, quantity},
};
use alloy_primitives::{U64, U128};
use entente_chain::SealedHeader;
use serde::Serialize;

/// Most percentiles in one request (geth).
const PERCENTILES_MAX: usize = 100;

pub(super) const METHODS: &[Method] = &[
    heavy("eth_gasPrice", 0, |service, _| service.answer(&U128::from(suggested_price(service)?))),
    heavy("eth_maxPriorityFeePerGas", 0, |service, _| {
        service.answer(&U128::from(suggested_tip(service)?))
    }),
    heavy("eth_feeHistory", 3, fee_history),
    inline("eth_blobBaseFee", 0, blob_fee),
];

fn blob_fee(service: &Service, _: &Params) -> Answer {
    let head = service.context.reader.head();
    let fee = blob_base_fee(&service.context.spec, head.header.header());
    service.answer(&U128::from(fee.unwrap_or_default()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    oldest_block: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<Vec<Vec<U128>>>,
    base_fee_per_gas: Vec<U64>,
    gas_used_ratio: Vec<f64>,
    base_fee_per_blob_gas: Vec<U128>,
    blob_gas_used_ratio: Vec<f64>,
}

fn fee_history(service: &Service, params: &Params) -> Answer {
    let count = params.count(0)?;
    let newest = params.required_block(1)?;
    let percentiles = params.optional::<Vec<f64>>(2)?.unwrap_or_default();
    check_percentiles(&percentiles)?;
    let head = service.context.reader.head().header.number;
    let newest = resolve(service, newest)?.ok_or_else(|| match newest {
        BlockSpec::Number(requested) => RpcError::Refused(format!(
            "request beyond head block: requested {requested}, head {head}"
        )),
        _ => RpcError::header_not_found(),
    })?;
    let count = count.min(service.limits.fee_history_blocks).min(newest.saturating_add(1));
    if count == 0 {
        return service.answer(&serde_json::json!({ "oldestBlock": "0x0", "gasUsedRatio": null }));
    }
    let oldest = newest + 1 - count;
    let mut history = FeeHistory {
        oldest_block: quantity(oldest),
        reward: (!percentiles.is_empty()).then(Vec::new),
        base_fee_per_gas: Vec::new(),
        gas_used_ratio: Vec::new(),
        base_fee_per_blob_gas: Vec::new(),
        blob_gas_used_ratio: Vec::new(),
    };
    for number in oldest..=newest {
        let header = service.context.reader.header(number)?;
        let header = header.ok_or_else(RpcError::header_not_found)?;
        history.add(service, &header, &percentiles)?;
        if number == newest {
            history.add_next(service, &header);
        }
    }
    service.answer(&history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    let wrong = |cause: String| Err(RpcError::argument(2, cause));
    if percentiles.len() > PERCENTILES_MAX {
        let got = percentiles.len();
        return wrong(format!("{got} percentiles given, {PERCENTILES_MAX} allowed"));
    }
    if let Some(bad) = percentiles.iter().find(|value| !(0.0..=100.0).contains(*value)) {
        return wrong(format!("invalid reward percentile: {bad:.6}"));
    }
    match percentiles.windows(2).find(|pair| pair.first() > pair.last()) {
        Some(_) => wrong("invalid reward percentile: not ascending".into()),
        None => Ok(()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

impl FeeHistory {
    fn add(
        &mut self,
        service: &Service,
        header: &SealedHeader,
        percentiles: &[f64],
    ) -> Result<(), RpcError> {
        let spec = &service.context.spec;
        self.base_fee_per_gas.push(U64::from(header.base_fee_per_gas.unwrap_or_default()));
        self.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        let blob_fee = blob_base_fee(spec, header.header()).unwrap_or_default();
        self.base_fee_per_blob_gas.push(U128::from(blob_fee));
        let most = spec
            .blob_parameters_at(spec.seconds(header.timestamp))
            .map_or(0, |parameters| parameters.max.saturating_mul(BLOB_GAS));
        self.blob_gas_used_ratio.push(ratio(header.blob_gas_used.unwrap_or_default(), most));
        if let Some(rows) = &mut self.reward {
            let row = rewards(service, header, percentiles)?;
            rows.push(row.into_iter().map(U128::from).collect());
        }
        Ok(())
    }

    /// The fees after the newest block close both lists.
    fn add_next(&mut self, service: &Service, newest: &SealedHeader) {
        let fee = next_base_fee(&service.context.spec, newest.header()).unwrap_or_default();
        self.base_fee_per_gas.push(U64::from(fee));
        let blob_fee = next_blob_fee(service, newest).unwrap_or_default();
        self.base_fee_per_blob_gas.push(U128::from(blob_fee));
    }
}

/// Gas of one blob (EIP-4844).
const BLOB_GAS: u64 = 131_072;

fn next_blob_fee(service: &Service, newest: &SealedHeader) -> Option<u128> {
    let spec = &service.context.spec;
    let parameters = spec.blob_parameters_at(spec.seconds(newest.timestamp))?;
    let used = newest.excess_blob_gas?.saturating_add(newest.blob_gas_used.unwrap_or_default());
    let excess = used.saturating_sub(parameters.target.saturating_mul(BLOB_GAS));
    let fraction = u128::from(parameters.update_fraction);
    Some(alloy_eips::eip4844::fake_exponential(1, u128::from(excess), fraction))
}
