//! The genesis block: its header by the forks that hold there, and its accounts.

use super::{
    GenesisAccount,
    error::GenesisError,
    json::{ADDRESS, Object, Value, parse_address},
};
use crate::{
    fork::Fork,
    spec::{BaseFeeMode, ChainSpec},
};
use alloy_consensus::{EMPTY_ROOT_HASH, Header};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{TrieAccount, root};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use std::collections::{BTreeMap, btree_map::Entry};

const GAS_LIMIT: &str = "an amount of gas from 5000 to 2^63-1";
/// geth's bounds of a header's gas limit.
const GAS_LIMITS: std::ops::RangeInclusive<u64> = 5000..=i64::MAX as u64;

/// Header fields of the file; the roots come later.
pub(super) fn header(
    file: &mut Object<'_>,
    spec: &ChainSpec,
    extra_data: Bytes,
    base_fee: Option<&Value<'_>>,
) -> Result<Header, GenesisError> {
    let gas_limit = file.require("gasLimit", GAS_LIMIT)?;
    let gas_limit = match gas_limit.u64(GAS_LIMIT)? {
        limit if GAS_LIMITS.contains(&limit) => limit,
        _ => return Err(gas_limit.wrong(GAS_LIMIT)),
    };
    if let Some(value) = file.take("number")?
        && value.u64("0")? != 0
    {
        return Err(value.wrong("0"));
    }
    let hash = |value: Option<Value<'_>>| value.map_or(Ok(B256::ZERO), |value| value.hash());
    let number = |value: Option<Value<'_>>| value.map_or(Ok(0), |value| value.u64("a number"));
    let nonce = number(file.take("nonce")?)?;
    let mut header = Header {
        parent_hash: hash(file.take("parentHash")?)?,
        beneficiary: file.take("coinbase")?.map_or(Ok(Address::ZERO), |value| value.address())?,
        difficulty: file.require("difficulty", "a difficulty")?.u256("a difficulty")?,
        gas_limit,
        gas_used: number(file.take("gasUsed")?)?,
        timestamp: number(file.take("timestamp")?)?,
        extra_data,
        mix_hash: hash(file.take_any(&["mixHash"])?)?,
        nonce: B64::from(nonce.to_be_bytes()),
        ..Header::default()
    };
    let blob_gas = number(file.take("blobGasUsed")?)?;
    let excess = number(file.take("excessBlobGas")?)?;
    let beacon_root = hash(file.take("parentBeaconBlockRoot")?)?;
    let fork = spec.fork_at(0, header.timestamp);
    if fork >= Fork::London {
        let usual = match spec.base_fee {
            BaseFeeMode::Fixed(fee) | BaseFeeMode::Eip1559 { initial: fee } => fee,
            BaseFeeMode::Zero => INITIAL_BASE_FEE,
        };
        header.base_fee_per_gas =
            Some(base_fee.map_or(Ok(usual), |value| value.u64("an amount in wei"))?);
    }
    if fork >= Fork::Shanghai {
        header.withdrawals_root = Some(EMPTY_ROOT_HASH);
    }
    if fork >= Fork::Cancun {
        header.blob_gas_used = Some(blob_gas);
        header.excess_blob_gas = Some(excess);
        header.parent_beacon_block_root = Some(beacon_root);
    }
    if fork >= Fork::Prague {
        header.requests_hash = Some(EMPTY_REQUESTS_HASH);
    }
    Ok(header)
}

/// The accounts of `alloc`. Addresses equal but for case or 0x are the same.
pub(super) fn alloc(value: &Value<'_>) -> Result<BTreeMap<Address, GenesisAccount>, GenesisError> {
    let mut accounts = BTreeMap::new();
    for (key, value) in value.object()?.into_entries() {
        let address = parse_address(&key).ok_or_else(|| value.wrong_key(&key, ADDRESS))?;
        match accounts.entry(address) {
            Entry::Vacant(slot) => slot.insert(account(&value)?),
            Entry::Occupied(_) => return Err(value.duplicate()),
        };
    }
    Ok(accounts)
}

fn account(value: &Value<'_>) -> Result<GenesisAccount, GenesisError> {
    const BALANCE: &str = "an amount in wei of at most 2^256-1";
    let mut object = value.object()?;
    let balance = object.take("balance")?.map(|value| value.u256(BALANCE)).transpose()?;
    let nonce = object.u64("nonce", "a nonce below 2^64-1")?.unwrap_or(0);
    let code = match object.take("code")? {
        None => Bytes::new(),
        Some(value) => {
            let code = value.bytes()?;
            // EIP-3541; EIP-7702 delegations come from transactions, never from genesis.
            if code.first() == Some(&0xef) {
                return Err(value.wrong("code that does not begin with 0xef (EIP-3541)"));
            }
            code
        }
    };
    let mut storage = BTreeMap::new();
    if let Some(value) = object.take("storage")? {
        for (key, value) in value.object()?.into_entries() {
            const SLOT: &str = "a storage slot, up to 32 bytes in hex";
            let slot = word(&key).ok_or_else(|| value.wrong_key(&key, SLOT))?;
            let text = value.text("a storage value, up to 32 bytes in hex")?;
            let word =
                word(&text).ok_or_else(|| value.wrong("a storage value, up to 32 bytes in hex"))?;
            if storage.insert(slot, word).is_some() {
                return Err(value.duplicate());
            }
        }
        // A zero is a slot that was never written.
        storage.retain(|_, word: &mut U256| !word.is_zero());
    }
    // Notes for people, and the development keys of Besu's and geth's own files.
    object.ignore(&["comment", "privateKey", "secretKey"])?;
    object.finish()?;
    Ok(GenesisAccount { balance: balance.unwrap_or_default(), nonce, code, storage })
}

/// A storage word as all tools write it: hex digits, 0x or not.
fn word(text: &str) -> Option<U256> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let plain = digits.len() <= 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain {
        return None;
    }
    if digits.is_empty() { Some(U256::ZERO) } else { U256::from_str_radix(digits, 16).ok() }
}

/// The state root of genesis. Accounts without anything count too, as in geth.
pub(super) fn state_root(alloc: &BTreeMap<Address, GenesisAccount>) -> B256 {
    let hashed = |(address, account): (&Address, &GenesisAccount)| {
        let storage = account.storage.iter().filter(|(_, word)| !word.is_zero());
        let words = storage.map(|(slot, word)| (B256::from(*slot), *word));
        let code_hash =
            if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        let account = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: root::storage_root_unhashed(words),
            code_hash,
        };
        (keccak256(address), account)
    };
    let accounts: Vec<_> = alloc.into_par_iter().map(hashed).collect();
    root::state_root_unsorted(accounts)
}
