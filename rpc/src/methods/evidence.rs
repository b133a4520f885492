//! Provable breaches of the protocol that this node saw.

use super::{Method, heavy};
use crate::{
    EvidenceRecord,
    context::Service,
    error::{Answer, RpcError},
    params::Params,
};
use serde_json::{Value, json};

/// Records of one answer when the caller does not say.
const RECORDS: u64 = 100;

pub(super) const METHODS: &[Method] = &[heavy("entente_evidence", 1, evidence)];

/// Newest first; the number of records is the caller's up to what the node keeps.
fn evidence(service: &Service, params: &Params) -> Answer {
    let limit = match params.optional::<Value>(0)? {
        None | Some(Value::Null) => RECORDS,
        Some(_) => params.count(0)?,
    };
    let records = service.context.backend.evidence(limit);
    let records = records.map_err(|cause| RpcError::Refused(cause.to_string()))?;
    service.answer(&records.iter().map(view).collect::<Vec<_>>())
}

fn view(record: &EvidenceRecord) -> Value {
    let EvidenceRecord { seen_ms, validator, height, round, what, digests: (first, second) } =
        record;
    json!({
        "seenMs": seen_ms,
        "validator": validator,
        "height": height,
        "round": round,
        "what": what,
        "first": first,
        "second": second,
    })
}
