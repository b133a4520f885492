//! Uncles of ethash blocks (yellow paper, section 11.1).

use super::{HeaderError, ethereum, with_parent::number_follows};
use alloy_consensus::proofs::calculate_ommers_root;
use alloy_primitives::B256;
use entente_chain::{ChainSpec, Header, SealedHeader};
use std::collections::BTreeMap;

const UNCLES_MAX: usize = 2;
/// How far back an uncle's parent and earlier inclusions are looked for.
const GENERATIONS: usize = 7;

/// A block of the chain as uncles need it.
#[derive(Clone, Debug)]
pub struct Ancestor {
    /// Its header.
    pub header: SealedHeader,
    /// The uncles it included.
    pub ommers: Vec<Header>,
}

pub(super) fn there_are_none(ommers: &[Header]) -> Result<(), HeaderError> {
    match ommers.len() {
        0 => Ok(()),
        got => Err(HeaderError::TooManyUncles { got, allowed: 0 }),
    }
}

pub(super) fn hash_matches(header: &Header, ommers: &[Header]) -> Result<(), HeaderError> {
    let (got, expected) = (calculate_ommers_root(ommers), header.ommers_hash);
    if got == expected { Ok(()) } else { Err(HeaderError::UnclesHash { got, expected }) }
}

pub(super) fn check(
    spec: &ChainSpec,
    header: &Header,
    ommers: &[Header],
    ancestor: &dyn Fn(B256) -> Option<Ancestor>,
) -> Result<(), HeaderError> {
    if ommers.len() > UNCLES_MAX {
        return Err(HeaderError::TooManyUncles { got: ommers.len(), allowed: UNCLES_MAX });
    }
    if ommers.is_empty() {
        return Ok(());
    }
    let mut included = Vec::new();
    let mut ancestors = BTreeMap::new();
    let mut hash = header.parent_hash;
    for _ in 0..GENERATIONS {
        let Some(found) = ancestor(hash) else { break };
        included.extend(found.ommers.iter().map(Header::hash_slow));
        let next = found.header.parent_hash;
        ancestors.insert(hash, found.header);
        hash = next;
    }
    for uncle in ommers {
        let hash = uncle.hash_slow();
        if included.contains(&hash) {
            return Err(HeaderError::DuplicateUncle(hash));
        }
        included.push(hash);
        if ancestors.contains_key(&hash) {
            return Err(HeaderError::UncleIsAncestor(hash));
        }
        let parent = ancestors
            .get(&uncle.parent_hash)
            .filter(|_| uncle.parent_hash != header.parent_hash)
            .ok_or(HeaderError::UncleParent { uncle: hash, parent: uncle.parent_hash })?;
        check_header(spec, uncle, parent)
            .map_err(|cause| HeaderError::Uncle { uncle: hash, cause: Box::new(cause) })?;
    }
    Ok(())
}

fn check_header(
    spec: &ChainSpec,
    uncle: &Header,
    parent: &SealedHeader,
) -> Result<(), HeaderError> {
    number_follows(uncle, parent)?;
    ethereum::check_alone(spec, uncle)?;
    ethereum::check_with_parent(spec, uncle, parent)
}
