//! The transition that every node gets, as genesis files spell it.

use super::{Request, refusal::Refusal};
use entente_chain::{genesis::Genesis, spec::EngineKind};
use serde_json::{Map, Value, json};

/// The entry of `transitions`, with the keys of GoQuorum; Besu's are the same in its own form.
/// `by_contract`: a contract names the validators until then.
pub(crate) fn of(request: &Request, by_contract: bool) -> Value {
    let mut entry = Map::new();
    entry.insert("block".into(), json!(request.at));
    let algorithm = match request.to {
        EngineKind::Istanbul => "ibft",
        other => other.name(),
    };
    entry.insert("algorithm".into(), json!(algorithm));
    if let Some(period) = request.period_ms {
        match period % 1000 {
            0 => entry.insert("blockperiodseconds".into(), json!(period / 1000)),
            _ => entry.insert("xblockperiodmilliseconds".into(), json!(period)),
        };
    }
    if let Some(validators) = &request.validators {
        if by_contract {
            entry.insert("validatorselectionmode".into(), json!("blockheader"));
        }
        entry.insert("validators".into(), json!(validators));
    }
    if let Some(eip3436) = request.eip3436 {
        entry.insert("eip3436".into(), json!(eip3436));
    }
    Value::Object(entry)
}

/// The stored genesis file with the entry in its place.
pub(crate) fn genesis_with(stored: &[u8], entry: &Value) -> Result<(Genesis, String), Refusal> {
    let cannot = |cause: String| Refusal::Genesis(cause);
    let mut file: Value =
        serde_json::from_slice(stored).map_err(|cause| cannot(cause.to_string()))?;
    let config = member(&mut file, "config").ok_or_else(|| cannot("it has no config".into()))?;
    let list = match member(config, "transitions") {
        None => {
            let config = config.as_object_mut();
            let config = config.ok_or_else(|| cannot("config is no object".into()))?;
            config.entry("transitions").or_insert_with(|| json!([]))
        }
        // Besu's form is lists by engine.
        Some(by_engine) if by_engine.is_object() => match member(by_engine, "qbft").is_some() {
            true => member(by_engine, "qbft").ok_or_else(|| cannot("transitions".into()))?,
            false => {
                let by_engine = by_engine.as_object_mut();
                let by_engine = by_engine.ok_or_else(|| cannot("transitions".into()))?;
                by_engine.entry("qbft").or_insert_with(|| json!([]))
            }
        },
        Some(list) => list,
    };
    let list = list.as_array_mut().ok_or_else(|| cannot("transitions is no list".into()))?;
    let block = |entry: &Value| number(entry.get("block").unwrap_or(&Value::Null));
    let at = block(entry);
    let place = list.iter().take_while(|other| block(other) <= at).count();
    list.insert(place, entry.clone());
    let text = serde_json::to_string_pretty(&file).map_err(|cause| cannot(cause.to_string()))?;
    let genesis = Genesis::parse(text.as_bytes()).map_err(|cause| cannot(cause.to_string()))?;
    Ok((genesis, text))
}

/// Keys of genesis files are compared without case.
fn member<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let object = value.as_object_mut()?;
    object.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// A number as any of the three tools writes it.
fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_default();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.as_u64().or_else(|| parsed.ok()).unwrap_or(0)
}
