//! Signers and votes about them under geth's names (`clique_`).

use super::{
    Method, heavy, inline,
    validators::{author, candidates, counts, discard, hex_address, propose, required},
    waits,
};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    params::{BlockSpec, Params},
    validators::tally_after,
};
use alloy_primitives::{Bytes, U256};
use alloy_rlp::Decodable;
use entente_chain::{BlockNumber, Header, SealedHeader, spec::EngineKind, votes::VoteTally};
use serde_json::{Map, Value, json};

/// Blocks that `clique_status` looks at, as geth's.
const STATUS_BLOCKS: u64 = 64;

pub(super) const METHODS: &[Method] = &[
    heavy("clique_getSnapshot", 1, |service, params| snapshot(service, params.block(0)?)),
    heavy("clique_getSnapshotAtHash", 1, |service, params| {
        snapshot(service, BlockSpec::Hash(params.hash(0)?))
    }),
    heavy("clique_getSigners", 1, |service, params| signers(service, params.block(0)?)),
    heavy("clique_getSignersAtHash", 1, |service, params| {
        signers(service, BlockSpec::Hash(params.hash(0)?))
    }),
    heavy("clique_getSigner", 1, signer),
    inline("clique_proposals", 0, candidates),
    waits("clique_propose", 2, |service, params| propose(service, params, Value::Null)),
    waits("clique_discard", 1, |service, params| discard(service, params, Value::Null)),
    heavy("clique_status", 0, status),
];

fn snapshot(service: &Service, block: BlockSpec) -> Answer {
    let header = required(service, block)?;
    let tally = tally_after(service, header.number)?;
    let signers = tally.validators().addresses().iter();
    let signers: Map<String, Value> =
        signers.map(|signer| (hex_address(*signer), json!({}))).collect();
    let recents = tally.recent_signers().iter();
    let recents: Map<String, Value> = recents
        .map(|recent| (recent.block.to_string(), json!(hex_address(recent.signer))))
        .collect();
    service.answer(&json!({
        "number": header.number,
        "hash": header.hash(),
        "signers": signers,
        "recents": recents,
        "votes": votes(header.number, &tally),
        "tally": counts(&tally),
    }))
}

/// geth's list is null until the first vote was ever made; here, until votes are open.
fn votes(number: BlockNumber, tally: &VoteTally) -> Value {
    if number == 0 || tally.votes().is_empty() {
        return Value::Null;
    }
    let votes = tally.votes().iter().map(|vote| {
        json!({
            "signer": vote.voter,
            "block": vote.block,
            "address": vote.candidate,
            "authorize": vote.add,
        })
    });
    Value::Array(votes.collect())
}

fn signers(service: &Service, block: BlockSpec) -> Answer {
    let number = required(service, block)?.number;
    service.answer(tally_after(service, number)?.validators().addresses())
}

/// Who sealed a block: given by number, tag or hash, or as the RLP of a header.
fn signer(service: &Service, params: &Params) -> Answer {
    let rlp = params.optional::<Bytes>(0).ok().flatten().filter(|bytes| bytes.len() > 32);
    let header = match rlp {
        Some(bytes) => {
            let mut rest = bytes.as_ref();
            let header = Header::decode(&mut rest);
            let header = header.map_err(|cause| RpcError::argument(0, cause.to_string()))?;
            let hash = header.hash_slow();
            SealedHeader::new(header, hash)
        }
        None => required(service, params.block(0)?)?,
    };
    service.answer(&author(service, &header)?)
}

/// How many of the last blocks were sealed in turn, and by whom.
fn status(service: &Service, _: &Params) -> Answer {
    let head = service.context.reader.head().header.number;
    let first = head.saturating_sub(STATUS_BLOCKS).saturating_add(1).max(1);
    let mut sealers: Map<String, Value> = tally_after(service, head)?
        .validators()
        .addresses()
        .iter()
        .map(|signer| (hex_address(*signer), json!(0)))
        .collect();
    let (mut in_turn, mut blocks) = (0u32, 0u32);
    for number in first..=head {
        if service.context.spec.engine_at(number) != EngineKind::Clique {
            continue;
        }
        let header = required(service, BlockSpec::Number(number))?;
        blocks = blocks.saturating_add(1);
        in_turn = in_turn.saturating_add(u32::from(header.difficulty == U256::from(2)));
        let sealed = sealers.entry(hex_address(author(service, &header)?)).or_insert(json!(0));
        *sealed = json!(sealed.as_u64().unwrap_or_default().saturating_add(1));
    }
    let percent = 100.0 * f64::from(in_turn) / f64::from(blocks.max(1));
    service.answer(&json!({
        "inturnPercent": percent,
        "sealerActivity": sealers,
        "numBlocks": blocks,
    }))
}
