//! Positional parameters of a call. Every value is checked by hand so that errors carry the index
//! and geth's words, and numbers have one form.

use crate::error::RpcError;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use entente_chain::{BlockNumber, private::PrivateStateId};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

/// The parameters of one call.
#[derive(Debug)]
pub(crate) struct Params {
    values: Vec<Box<RawValue>>,
    /// The connection that the call came over.
    pub(crate) connection: usize,
    /// The private state that the caller chose.
    pub(crate) private_state: PrivateStateId,
    /// The id of the call as JSON text, where the method tells it to others.
    pub(crate) call_id: String,
}

/// A block as clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockSpec {
    /// `latest`.
    Latest,
    /// `safe` and `finalized`: the head where committed blocks are final.
    Finalized,
    /// The head, with the pool's nonces where that makes a difference.
    Pending,
    /// Genesis.
    Earliest,
    /// By height.
    Number(BlockNumber),
    /// By hash.
    Hash(B256),
}

impl BlockSpec {
    /// Whether a block that was found at the height may be the one that is meant: after the height
    /// of a hash was read, the chain may have put another block there.
    pub(crate) fn may_be(self, found: B256) -> bool {
        match self {
            Self::Hash(hash) => hash == found,
            Self::Latest | Self::Finalized | Self::Pending | Self::Earliest | Self::Number(_) => {
                true
            }
        }
    }
}

impl Params {
    /// Takes the parameters of a request; none is an empty list.
    pub(crate) fn parse(raw: Option<&str>) -> Result<Self, RpcError> {
        let text = raw.unwrap_or("[]").trim();
        if text == "null" {
            return Ok(Self::of(Vec::new()));
        }
        if !text.starts_with('[') {
            return Err(RpcError::InvalidParams("non-array args".into()));
        }
        let values = serde_json::from_str(text)
            .map_err(|cause| RpcError::InvalidParams(format!("params: {cause}")))?;
        Ok(Self::of(values))
    }

    fn of(values: Vec<Box<RawValue>>) -> Self {
        let private_state = PrivateStateId::default_state();
        Self { values, connection: 0, private_state, call_id: String::new() }
    }

    /// Refuses more parameters than a method takes.
    pub(crate) fn at_most(&self, count: usize) -> Result<(), RpcError> {
        match self.values.len() > count {
            true => {
                Err(RpcError::InvalidParams(format!("too many arguments, want at most {count}")))
            }
            false => Ok(()),
        }
    }

    fn get(&self, index: usize) -> Option<&str> {
        self.values.get(index).map(|value| value.get()).filter(|text| *text != "null")
    }

    fn required(&self, index: usize) -> Result<&str, RpcError> {
        self.get(index).ok_or_else(|| {
            RpcError::InvalidParams(format!("missing value for required argument {index}"))
        })
    }

    /// Any JSON that has the shape of `T`.
    pub(crate) fn json<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        parse_json(index, self.required(index)?)
    }

    /// As [`Self::json`], when it is there and not null.
    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
    ) -> Result<Option<T>, RpcError> {
        self.get(index).map(|text| parse_json(index, text)).transpose()
    }

    fn with<T>(
        &self,
        index: usize,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, RpcError> {
        let text: String = self.json(index)?;
        parse(&text).map_err(|cause| RpcError::argument(index, cause))
    }

    pub(crate) fn text(&self, index: usize) -> Result<String, RpcError> {
        self.json(index)
    }

    pub(crate) fn address(&self, index: usize) -> Result<Address, RpcError> {
        self.with(index, parse_address)
    }

    pub(crate) fn hash(&self, index: usize) -> Result<B256, RpcError> {
        self.with(index, parse_hash)
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        self.with(index, parse_bytes)
    }

    pub(crate) fn quantity(&self, index: usize) -> Result<u64, RpcError> {
        self.with(index, parse_u64)
    }

    /// A count that some tools send in hex and some as a number.
    pub(crate) fn count(&self, index: usize) -> Result<u64, RpcError> {
        match self.json::<Value>(index)? {
            Value::String(text) if text.starts_with("0x") => {
                parse_u64(&text).map_err(|cause| RpcError::argument(index, cause))
            }
            Value::String(text) => text
                .parse()
                .map_err(|_| RpcError::argument(index, "neither a hex nor a decimal number")),
            Value::Number(number) => number
                .as_u64()
                .ok_or_else(|| RpcError::argument(index, "not a number between 0 and 2^64-1")),
            _ => Err(RpcError::argument(index, "not a number")),
        }
    }

    pub(crate) fn boolean(&self, index: usize) -> Result<bool, RpcError> {
        Ok(self.optional(index)?.unwrap_or(false))
    }

    /// A block; `latest` when it is left out.
    pub(crate) fn block(&self, index: usize) -> Result<BlockSpec, RpcError> {
        match self.optional::<Value>(index)? {
            None => Ok(BlockSpec::Latest),
            Some(value) => parse_block(&value).map_err(|cause| RpcError::argument(index, cause)),
        }
    }

    /// A block that must be named.
    pub(crate) fn required_block(&self, index: usize) -> Result<BlockSpec, RpcError> {
        self.required(index)?;
        self.block(index)
    }
}

fn parse_json<T: DeserializeOwned>(index: usize, text: &str) -> Result<T, RpcError> {
    serde_json::from_str(text).map_err(|cause| {
        let mut cause = cause.to_string();
        cause.truncate(cause.char_indices().nth(200).map_or(cause.len(), |(at, _)| at));
        RpcError::argument(index, cause)
    })
}

/// A tag, a hex number, a 32-byte hash, or an EIP-1898 object.
pub(crate) fn parse_block(value: &Value) -> Result<BlockSpec, String> {
    match value {
        Value::String(text) => match text.as_str() {
            "latest" => Ok(BlockSpec::Latest),
            "safe" | "finalized" => Ok(BlockSpec::Finalized),
            "pending" => Ok(BlockSpec::Pending),
            "earliest" => Ok(BlockSpec::Earliest),
            text if text.len() == 66 => parse_hash(text).map(BlockSpec::Hash),
            text => parse_u64(text).map(BlockSpec::Number),
        },
        Value::Object(fields) => match (fields.get("blockHash"), fields.get("blockNumber")) {
            (Some(_), Some(_)) => {
                Err("cannot specify both blockHash and blockNumber, choose one or the other".into())
            }
            (Some(Value::String(hash)), None) => parse_hash(hash).map(BlockSpec::Hash),
            (None, Some(number @ Value::String(_))) => parse_block(number),
            _ => Err("a block object needs blockHash or blockNumber".into()),
        },
        _ => Err("a block is a tag, a hex number or an object".into()),
    }
}

fn digits(text: &str) -> Result<&str, String> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or("hex string without 0x prefix")?;
    if digits.is_empty() {
        return Err("hex string \"0x\"".into());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits".into());
    }
    Ok(digits)
}

/// A hex quantity without leading zeros, below 2^64.
pub(crate) fn parse_u64(text: &str) -> Result<u64, String> {
    let digits = digits(text)?;
    if digits.len() > 16 {
        return Err("hex number > 64 bits".into());
    }
    // from_str_radix would take a sign.
    match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => u64::from_str_radix(digits, 16).map_err(|_| "invalid hex string".into()),
        false => Err("invalid hex string".into()),
    }
}

/// A storage slot: geth takes it with or without leading zeros, up to 32 bytes.
pub(crate) fn parse_slot(text: &str) -> Result<U256, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.len() > 64 {
        return Err(format!(
            "hex string too long, want at most 32 bytes, have {}",
            digits.len() / 2
        ));
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string".into());
    }
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    U256::from_str_radix(digits, 16).map_err(|_| "invalid hex string".into())
}

/// Bytes in hex with a 0x prefix.
pub(crate) fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or("hex string without 0x prefix")?;
    if digits.len() % 2 == 1 {
        return Err("hex string of odd length".into());
    }
    hex::decode(digits).map(Bytes::from).map_err(|_| "invalid hex string".into())
}

pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    fixed::<20>(text).map(Address::from)
}

pub(crate) fn parse_hash(text: &str) -> Result<B256, String> {
    fixed::<32>(text).map(B256::from)
}

fn fixed<const LENGTH: usize>(text: &str) -> Result<[u8; LENGTH], String> {
    let bytes = parse_bytes(text)?;
    <[u8; LENGTH]>::try_from(bytes.as_ref())
        .map_err(|_| format!("{} bytes given, {LENGTH} expected", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_one_form() {
        let cases = [
            ("0x", "hex string \"0x\""),
            ("0x01", "hex number with leading zero digits"),
            ("1", "hex string without 0x prefix"),
            ("0x+1", "invalid hex string"),
            ("0x10000000000000000", "hex number > 64 bits"),
        ];
        for (text, cause) in cases {
            assert_eq!(parse_u64(text), Err(cause.to_owned()), "{text}");
        }
        assert_eq!(parse_u64("0x0"), Ok(0));
        assert_eq!(parse_u64("0xffffffffffffffff"), Ok(u64::MAX));
    }

    #[test]
    fn params_must_be_a_list() {
        let error = Params::parse(Some("\"x\"")).expect_err("text");
        assert_eq!(error, RpcError::InvalidParams("non-array args".into()));
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let params = Params::parse(Some(&nested)).expect("one raw value");
        params.json::<Value>(0).expect_err("nested too deep");
    }

    #[test]
    fn blocks_come_as_tag_number_hash_or_object() {
        let block = |text: &str| parse_block(&serde_json::from_str(text).expect("json"));
        assert_eq!(block("\"safe\""), Ok(BlockSpec::Finalized));
        assert_eq!(block("\"0x10\""), Ok(BlockSpec::Number(16)));
        assert_eq!(block(r#"{"blockNumber":"earliest"}"#), Ok(BlockSpec::Earliest));
        let hash = format!(r#"{{"blockHash":"{}","requireCanonical":true}}"#, B256::ZERO);
        assert_eq!(block(&hash), Ok(BlockSpec::Hash(B256::ZERO)));
        assert!(block("5").is_err());
    }
}
