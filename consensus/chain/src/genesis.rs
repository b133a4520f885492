//! Genesis files: those of geth, GoQuorum and Besu, read into a [`ChainSpec`] and a first block.
//! Keys are compared without case, every known key has a meaning or is known to have none here,
//! and anything else is refused with its path and place.

mod blobs;
mod block;
mod builder;
mod changes;
mod compatible;
mod config;
mod describe;
mod engines;
mod error;
mod forks;
mod json;
#[cfg(test)]
mod tests;

pub use builder::GenesisBuilder;
pub use compatible::SpecMismatch;
pub use error::{GenesisError, Place};

use crate::{SealedHeader, extra_data::ExtraDataError, header_hash, spec::ChainSpec};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use json::Value;
use std::collections::BTreeMap;

/// An account that genesis creates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// In wei.
    pub balance: U256,
    /// First nonce.
    pub nonce: u64,
    /// Runtime code.
    pub code: Bytes,
    /// Storage that is not zero.
    pub storage: BTreeMap<U256, U256>,
}

/// The rules of a chain and its first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The rules.
    pub spec: ChainSpec,
    /// The first header and its hash.
    pub header: SealedHeader,
    /// The first accounts.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// Who may seal block 1, ascending. Empty for GoQuorum's Raft and for Ethereum, and where a
    /// contract names them and genesis does not.
    pub validators: Vec<Address>,
    /// What was noticed while reading that is no error; shown by [`Genesis::describe`].
    pub notes: Vec<String>,
}

impl Genesis {
    /// Reads a genesis file. The caller has bounded its size by
    /// [`crate::limits::GENESIS_FILE_BYTES_MAX`].
    ///
    /// # Errors
    /// When it is not JSON, has unknown keys, or says something that no chain here can have.
    pub fn parse(json: &[u8]) -> Result<Self, GenesisError> {
        let root = Value::root(json)?;
        let mut file = root.object()?;
        let mut notes = Vec::new();
        let base_fee = file.take("baseFeePerGas")?;
        let config = file.require("config", "the chain's rules")?;
        let config::Config { spec, section } =
            config::read(&config, base_fee.as_ref(), &mut notes)?;
        let extra = file.take("extraData")?;
        let (extra_data, validators) = engines::validators(&section, extra.as_ref(), &root)?;
        let mut header = block::header(&mut file, &spec, extra_data, base_fee.as_ref())?;
        let alloc = block::alloc(&file.require("alloc", "accounts by address")?)?;
        file.ignore(&["comment", "slotNumber"])?;
        file.finish()?;
        header.state_root = genesis_state_root(&alloc);
        let sealed = header_hash::seal(spec.engine_at(0), header)
            .map_err(|cause| extra.as_ref().unwrap_or(&root).wrong(cause.to_string()))?;
        Ok(Self { spec, header: sealed, alloc, validators, notes })
    }

    /// A genesis from its parts; the state root is worked out here.
    ///
    /// # Errors
    /// When extraData is not what the engine writes.
    pub fn from_parts(
        spec: ChainSpec,
        header: Header,
        alloc: BTreeMap<Address, GenesisAccount>,
        validators: Vec<Address>,
    ) -> Result<Self, ExtraDataError> {
        let header = Header { state_root: genesis_state_root(&alloc), ..header };
        let header = header_hash::seal(spec.engine_at(0), header)?;
        Ok(Self { spec, header, alloc, validators, notes: Vec::new() })
    }
}

/// The state root of genesis accounts.
#[must_use]
pub fn genesis_state_root(alloc: &BTreeMap<Address, GenesisAccount>) -> B256 {
    block::state_root(alloc)
}
