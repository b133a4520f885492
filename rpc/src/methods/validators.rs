//! Validators and votes about them, under GoQuorum's names (`istanbul_`) and Besu's (`qbft_`).
//!
//! GoQuorum asks for the validators after a block, Besu for those who voted on it.

use super::{Method, blocks::find_header, heavy, inline, waits};
use crate::{
    backend::BoxFuture,
    context::Service,
    error::{Answer, RpcError},
    params::{BlockSpec, Params},
    validators::{tally_after, voters_of},
};
use alloy_primitives::{Address, U64};
use entente_chain::{BlockNumber, SealedHeader, votes::VoteTally};
use entente_consensus::{engine::Operation, rules::rules_for};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Blocks that `istanbul_status` looks at by default, and blocks of `qbft_getSignerMetrics`.
const STATUS_BLOCKS: u64 = 64;
const METRICS_BLOCKS: u64 = 100;
/// Most headers that one question about activity reads.
const ACTIVITY_BLOCKS_MAX: u64 = 10_000;
/// Open votes of this node: more is a mistake.
const PROPOSALS_MAX: usize = 256;

pub(super) const METHODS: &[Method] = &[
    inline("istanbul_nodeAddress", 0, node_address),
    heavy("istanbul_getSignersFromBlock", 1, |service, params| signers(service, params.block(0)?)),
    heavy("istanbul_getSignersFromBlockByHash", 1, |service, params| {
        signers(service, BlockSpec::Hash(params.hash(0)?))
    }),
    heavy("istanbul_getSnapshot", 1, |service, params| snapshot(service, params.block(0)?)),
    heavy("istanbul_getSnapshotAtHash", 1, |service, params| {
        snapshot(service, BlockSpec::Hash(params.hash(0)?))
    }),
    heavy("istanbul_getValidators", 1, |service, params| {
        let number = required(service, params.block(0)?)?.number;
        service.answer(tally_after(service, number)?.validators().addresses())
    }),
    heavy("istanbul_getValidatorsAtHash", 1, |service, params| {
        let number = required(service, BlockSpec::Hash(params.hash(0)?))?.number;
        service.answer(tally_after(service, number)?.validators().addresses())
    }),
    inline("istanbul_candidates", 0, candidates),
    waits("istanbul_propose", 2, |service, params| propose(service, params, Value::Null)),
    waits("istanbul_discard", 1, |service, params| discard(service, params, Value::Null)),
    heavy("istanbul_status", 2, status),
    heavy("istanbul_isValidator", 1, is_validator),
    waits("qbft_proposeValidatorVote", 2, |service, params| {
        propose(service, params, Value::Bool(true))
    }),
    waits("qbft_discardValidatorVote", 1, |service, params| {
        discard(service, params, Value::Bool(true))
    }),
    inline("qbft_getPendingVotes", 0, candidates),
    heavy("qbft_getValidatorsByBlockNumber", 1, |service, params| {
        voters(service, params.required_block(0)?)
    }),
    heavy("qbft_getValidatorsByBlockHash", 1, |service, params| {
        voters(service, BlockSpec::Hash(params.hash(0)?))
    }),
    heavy("qbft_getSignerMetrics", 2, signer_metrics),
    inline("qbft_getRequestTimeoutSeconds", 0, request_timeout),
];

pub(super) fn required(service: &Service, block: BlockSpec) -> Result<SealedHeader, RpcError> {
    // GoQuorum's text.
    let unknown = || RpcError::Refused("unknown block".into());
    find_header(service, block)?.ok_or_else(unknown)
}

fn node_address(service: &Service, _: &Params) -> Answer {
    service.answer(&service.context.backend.consensus_status().validator.unwrap_or_default())
}

pub(super) fn author(service: &Service, header: &SealedHeader) -> Result<Address, RpcError> {
    let rules = rules_for(Arc::clone(&service.context.spec));
    rules.author(header).map_err(|cause| RpcError::Refused(cause.to_string()))
}

fn signers(service: &Service, block: BlockSpec) -> Answer {
    let header = required(service, block)?;
    if header.number == 0 {
        return Err(RpcError::Refused("the genesis block has no signers".into()));
    }
    let rules = rules_for(Arc::clone(&service.context.spec));
    let committers =
        rules.committers(&header).map_err(|cause| RpcError::Refused(cause.to_string()))?;
    service.answer(&json!({
        "Number": header.number,
        "Hash": header.hash(),
        "Author": author(service, &header)?,
        "Committers": committers,
    }))
}

fn snapshot(service: &Service, block: BlockSpec) -> Answer {
    let header = required(service, block)?;
    let tally = tally_after(service, header.number)?;
    let rules = service.context.spec.rules_at(header.number);
    service.answer(&json!({
        "epoch": rules.epoch_length,
        "number": header.number,
        "hash": header.hash(),
        "votes": cast_votes(header.number, &tally),
        "tally": counts(&tally),
        "validators": tally.validators().addresses(),
        "policy": u8::from(rules.sticky_proposer),
    }))
}

/// GoQuorum's list is null at genesis, where none was ever made.
fn cast_votes(number: BlockNumber, tally: &VoteTally) -> Value {
    if number == 0 {
        return Value::Null;
    }
    let votes = tally.votes().iter().map(|vote| {
        json!({
            "validator": vote.voter,
            "block": vote.block,
            "address": vote.candidate,
            "authorize": vote.add,
        })
    });
    Value::Array(votes.collect())
}

pub(super) fn counts(tally: &VoteTally) -> Map<String, Value> {
    let counts = tally.counts();
    let count = |(candidate, (add, votes))| {
        (hex_address(candidate), json!({ "authorize": add, "votes": votes }))
    };
    counts.into_iter().map(count).collect()
}

pub(super) fn hex_address(address: Address) -> String {
    format!("{address:#x}")
}

pub(super) fn candidates(service: &Service, _: &Params) -> Answer {
    let proposals = service.context.backend.consensus_status().proposals;
    let candidates: BTreeMap<String, bool> =
        proposals.into_iter().map(|(candidate, add)| (hex_address(candidate), add)).collect();
    service.answer(&candidates)
}

pub(super) fn propose(service: Arc<Service>, params: Params, done: Value) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (candidate, add) = (params.address(0)?, params.json::<bool>(1)?);
        let status = service.context.backend.consensus_status();
        let known = status.validators.iter().any(|validator| validator.address == candidate);
        if !add && !known {
            return Err(RpcError::argument(0, format!("{candidate} is not a validator")));
        }
        if add && candidate.is_zero() {
            return Err(RpcError::argument(0, "the zero address cannot be a validator"));
        }
        let again = status.proposals.iter().any(|(proposed, _)| *proposed == candidate);
        if !again && status.proposals.len() >= PROPOSALS_MAX {
            let text = format!("{PROPOSALS_MAX} votes are open already, discard one first");
            return Err(RpcError::Limit(text));
        }
        operate(&service, Operation::ProposeValidator { candidate, add }, &done).await
    })
}

pub(super) fn discard(service: Arc<Service>, params: Params, done: Value) -> BoxFuture<Answer> {
    Box::pin(async move {
        let candidate = params.address(0)?;
        operate(&service, Operation::DiscardProposal { candidate }, &done).await
    })
}

async fn operate(service: &Service, operation: Operation, done: &Value) -> Answer {
    let result = service.context.backend.operate(operation).await;
    result.map_err(|rejected| RpcError::Refused(rejected.to_string()))?;
    service.answer(done)
}

fn is_validator(service: &Service, params: &Params) -> Answer {
    let number = required(service, params.block(0)?)?.number;
    let own = service.context.backend.consensus_status().validator;
    let tally = tally_after(service, number)?;
    service.answer(&own.is_some_and(|own| tally.validators().contains(own)))
}

fn voters(service: &Service, block: BlockSpec) -> Answer {
    let header = required(service, block)?;
    if block == BlockSpec::Pending {
        return service.answer(tally_after(service, header.number)?.validators().addresses());
    }
    match header.number.checked_sub(1) {
        // Under a contract headers name nobody.
        Some(parent) if service.context.spec.validator_contract_at(header.number).is_some() => {
            service.answer(tally_after(service, parent)?.validators().addresses())
        }
        _ => service.answer(&voters_of(service, &header)?),
    }
}

/// Blocks by author, and the newest of each.
type Activity = BTreeMap<Address, (u64, BlockNumber)>;

/// Who made the blocks of `from..=to`; validators who made none are there with 0.
fn activity(service: &Service, from: BlockNumber, to: BlockNumber) -> Result<Activity, RpcError> {
    let blocks = to.saturating_sub(from).saturating_add(1);
    if blocks > ACTIVITY_BLOCKS_MAX {
        let text = format!("{blocks} blocks asked for, {ACTIVITY_BLOCKS_MAX} allowed");
        return Err(RpcError::Limit(text));
    }
    let tally = tally_after(service, to)?;
    let mut activity: Activity =
        tally.validators().addresses().iter().map(|address| (*address, (0, 0))).collect();
    for number in from.max(1)..=to {
        let header = required(service, BlockSpec::Number(number))?;
        let entry = activity.entry(author(service, &header)?).or_default();
        *entry = (entry.0 + 1, number);
    }
    Ok(activity)
}

fn status(service: &Service, params: &Params) -> Answer {
    let head = service.context.reader.head().header.number;
    let start = params.optional::<Value>(0)?;
    let end = params.optional::<Value>(1)?;
    let (from, to) = match (start, end) {
        (None, None) => (head.saturating_sub(STATUS_BLOCKS), head),
        (Some(_), None) => return Err(RpcError::Refused("pass the end block number".into())),
        (None, Some(_)) => return Err(RpcError::Refused("pass the start block number".into())),
        (Some(_), Some(_)) => span(service, params)?,
    };
    let activity = activity(service, from, to)?;
    let sealers: BTreeMap<String, u64> =
        activity.into_iter().map(|(address, (blocks, _))| (hex_address(address), blocks)).collect();
    service.answer(&json!({ "sealerActivity": sealers, "numBlocks": to - from }))
}

fn span(service: &Service, params: &Params) -> Result<(BlockNumber, BlockNumber), RpcError> {
    let from = required(service, params.block(0)?)?.number;
    let to = required(service, params.block(1)?)?.number;
    if from > to {
        return Err(RpcError::InvalidParams(format!("from {from} is after to {to}")));
    }
    Ok((from, to))
}

fn signer_metrics(service: &Service, params: &Params) -> Answer {
    let head = service.context.reader.head().header.number;
    let (from, to) = match params.optional::<Value>(0)? {
        None => (head.saturating_sub(METRICS_BLOCKS - 1), head),
        Some(_) => span(service, params)?,
    };
    let metrics: Vec<Value> = activity(service, from, to)?
        .into_iter()
        .map(|(address, (blocks, newest))| {
            json!({
                "address": address,
                "proposedBlockCount": U64::from(blocks),
                "lastProposedBlockNumber": U64::from(newest),
            })
        })
        .collect();
    service.answer(&metrics)
}

fn request_timeout(service: &Service, _: &Params) -> Answer {
    let next = service.context.reader.head().header.number.saturating_add(1);
    service.answer(&(service.context.spec.rules_at(next).request_timeout_ms / 1000))
}
