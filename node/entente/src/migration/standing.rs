//! Where a chain stands, as far as a plan must know.

use crate::wiring::executor;
use alloy_primitives::{Address, B256};
use anyhow::Context;
use entente_chain::{
    BlockNumber, ChainSpec, SealedHeader, StateReader, ValidatorSet, genesis::Genesis,
    votes::VoteTally,
};
use entente_ledger::{ContractError, Execution};
use entente_storage::Database;
use std::sync::Arc;

/// What a validator contract said at the head.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which contract.
    pub(crate) address: Address,
    /// Its validators; `Err(None)`: it has no code, else what is wrong with its answer.
    pub(crate) answer: Result<ValidatorSet, Option<String>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The chain's rules today.
    pub(crate) spec: ChainSpec,
    /// The stored genesis file.
    pub(crate) genesis_json: Vec<u8>,
    /// Hash of the genesis block.
    pub(crate) genesis_hash: B256,
    /// Height of the head.
    pub(crate) head: BlockNumber,
    /// Timestamp of the head, as in the header.
    pub(crate) head_timestamp: u64,
    /// Who votes on the next block; `None`: nobody is known (GoQuorum's Raft).
    pub(crate) validators: Option<ValidatorSet>,
    /// Votes about validators that are still open.
    pub(crate) open_votes: usize,
    /// The contract that names the validators at the block of the change.
    pub(crate) contract: Option<Asked>,
}

impl Standing {
    /// Reads it from a database that nobody else writes. `at`: the block of the change.
    ///
    /// # Errors
    /// When there is no genesis, or something cannot be read.
    pub(crate) fn read(database: &Database, at: BlockNumber) -> anyhow::Result<Self> {
        let json = database.genesis_json()?.context("this data folder has no genesis")?;
        let genesis = Genesis::parse(&json).context("the stored genesis file")?;
        let head = database.reader().head().header.clone();
        let stored = database.reader().tally(head.number)?;
        let tally = stored.map(|bytes| VoteTally::decode(&bytes)).transpose()?;
        let known = tally.filter(|tally| !tally.is_unknown());
        let contract = genesis.spec.rules_at(at).validator_contract;
        let contract =
            contract.map(|address| ask(database, &genesis.spec, address, &head)).transpose()?;
        Ok(Self {
            genesis_json: json.to_vec(),
            genesis_hash: genesis.header.hash(),
            head: head.number,
            head_timestamp: head.timestamp,
            open_votes: known.as_ref().map_or(0, |tally| tally.votes().len()),
            validators: known.map(|tally| tally.validators().clone()),
            contract,
            spec: genesis.spec,
        })
    }
}

fn ask(
    database: &Database,
    spec: &ChainSpec,
    address: Address,
    head: &SealedHeader,
) -> anyhow::Result<Asked> {
    let state = database.states().at(head.number)?;
    let account = state.account(address)?;
    if !account.is_some_and(|account| account.has_code()) {
        return Ok(Asked { address, answer: Err(None) });
    }
    let executor = executor(&Arc::new(spec.clone()));
    let answer = match Execution::validators(&executor, address, head, &state) {
        Ok(listed) if listed.contains(&Address::ZERO) => {
            Err(Some("the zero address is no validator".to_owned()))
        }
        Ok(listed) => ValidatorSet::new(listed).map_err(|cause| Some(cause.to_string())),
        Err(ContractError::BadAnswer(cause)) => Err(Some(cause)),
        Err(error @ ContractError::Unavailable(_)) => return Err(error.into()),
    };
    Ok(Asked { address, answer })
}
