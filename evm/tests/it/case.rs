//! The JSON of a BlockchainTest.

use alloy_primitives::{Address, B256, Bytes, U256, ruint::Uint};
use entente_chain::genesis::GenesisAccount;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) network: String,
    #[serde(rename = "genesisRLP")]
    pub(crate) genesis_rlp: Bytes,
    pub(crate) genesis_block_header: GenesisHeader,
    pub(crate) blocks: Vec<BlockCase>,
    pub(crate) pre: BTreeMap<Address, AccountCase>,
    pub(crate) post_state: Option<BTreeMap<Address, AccountCase>>,
    pub(crate) post_state_hash: Option<B256>,
    pub(crate) lastblockhash: B256,
}

#[derive(Deserialize)]
pub(crate) struct GenesisHeader {
    pub(crate) hash: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockCase {
    pub(crate) rlp: Bytes,
    pub(crate) expect_exception: Option<String>,
    pub(crate) block_header: Option<HeaderCase>,
}

#[derive(Deserialize)]
pub(crate) struct HeaderCase {
    pub(crate) difficulty: U256,
}

#[derive(Deserialize)]
pub(crate) struct AccountCase {
    pub(crate) balance: U256,
    #[serde(deserialize_with = "quantity")]
    pub(crate) nonce: u64,
    pub(crate) code: Bytes,
    pub(crate) storage: BTreeMap<U256, U256>,
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Uint::<64, 1>::deserialize(deserializer).map(|value| value.to())
}

impl AccountCase {
    pub(crate) fn genesis(&self) -> GenesisAccount {
        let storage = self.storage.iter().filter(|(_, value)| !value.is_zero());
        GenesisAccount {
            balance: self.balance,
            nonce: self.nonce,
            code: self.code.clone(),
            storage: storage.map(|(key, value)| (*key, *value)).collect(),
        }
    }
}
