//! Reads nodes by path and checks them against the hash their parent names.

use super::node::{Child, Node};
use crate::{Column, KeyValue, StoreError};
use alloy_primitives::{B256, keccak256};
use alloy_trie::Nibbles;
use std::sync::Arc;

/// Reads the nodes of one trie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeReader<'a> {
    disk: &'a dyn KeyValue,
    owner: Option<B256>,
}

impl<'a> NodeReader<'a> {
    /// Reader of the account trie.
    pub(crate) const fn accounts(disk: &'a dyn KeyValue) -> Self {
        Self { disk, owner: None }
    }

    /// Reader of the storage trie of the account with this hashed address.
    pub(crate) const fn storage(disk: &'a dyn KeyValue, owner: B256) -> Self {
        Self { disk, owner: Some(owner) }
    }

    /// Where the node at `path` is stored.
    pub(crate) fn key(&self, path: &Nibbles) -> (Column, Vec<u8>) {
        match self.owner {
            None => (Column::AccountTrie, path.to_vec()),
            Some(owner) => (Column::StorageTrie, [owner.as_slice(), &path.to_vec()].concat()),
        }
    }

    /// Reads the node at `path`.
    ///
    /// # Errors
    /// When it is missing or has another hash.
    pub(crate) fn load(&self, path: &Nibbles, expected: B256) -> Result<Arc<Node>, StoreError> {
        let (column, key) = self.key(path);
        let Some(rlp) = self.disk.get(column, &key)? else {
            return Err(self.damaged(path, &format!("missing, expected hash {expected}")));
        };
        let got = keccak256(&rlp);
        if got != expected {
            return Err(self.damaged(path, &format!("hash {got}, expected {expected}")));
        }
        Node::decode(&rlp).map(Arc::new).map_err(|cause| self.damaged(path, &cause.to_string()))
    }

    /// The node at `path`, wherever it is; `None` when there is none.
    pub(crate) fn resolve(
        &self,
        path: &Nibbles,
        child: &Child,
    ) -> Result<Option<Arc<Node>>, StoreError> {
        match child {
            Child::Empty => Ok(None),
            Child::Stored(hash) => self.load(path, *hash).map(Some),
            Child::Resident(node) => Ok(Some(Arc::clone(node))),
        }
    }

    fn damaged(&self, path: &Nibbles, cause: &str) -> StoreError {
        let owner = self.owner.map(|owner| format!("{owner}:")).unwrap_or_default();
        let nibbles: String =
            path.iter().filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect();
        StoreError::TrieNode { path: format!("{owner}/{nibbles}").into(), cause: cause.into() }
    }
}
