//! The tries against alloy-trie's hash builder, over random histories.

use super::*;
use crate::{Batch, Column, Durability, KeyValue, StoreError, memory::MemoryDisk};
use alloy_primitives::{B256, keccak256};
use alloy_trie::{HashBuilder, Nibbles};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

/// New values by index; empty: no leaf.
struct Values(Vec<Vec<u8>>);

impl Leaves for Values {
    fn after(&self, index: usize, _: Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(index).filter(|value| !value.is_empty()).cloned())
    }
}

type Content = BTreeMap<B256, Vec<u8>>;

/// Applies changes and writes them.
fn step(disk: &MemoryDisk, root: &Child, changes: &Content) -> Child {
    let keys: Vec<Nibbles> = changes.keys().map(Nibbles::unpack).collect();
    let values = Values(changes.values().cloned().collect());
    let nodes = NodeReader::accounts(disk);
    let (root, writes) = Update::new(nodes, &keys, &values).apply(root).unwrap();
    let mut batch = Batch::default();
    for (path, rlp) in writes {
        let (column, key) = nodes.key(&path);
        match rlp {
            Some(rlp) => batch.put(column, &key, &rlp),
            None => batch.delete(column, &key),
        }
    }
    disk.write(&batch, Durability::Synced).unwrap();
    root
}

fn expected_root(content: &Content) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in content {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// The records that the trie of `content` has, written at once.
fn fresh_disk(content: &Content) -> MemoryDisk {
    let disk = MemoryDisk::default();
    step(&disk, &Child::Empty, content);
    disk
}

fn apply(content: &mut Content, changes: &Content) {
    for (key, value) in changes {
        if value.is_empty() {
            content.remove(key);
        } else {
            content.insert(*key, value.clone());
        }
    }
}

fn only_hash(root: &Child) -> Child {
    match root_hash(root) {
        hash if hash == alloy_trie::EMPTY_ROOT_HASH => Child::Empty,
        hash => Child::Stored(hash),
    }
}

/// Keys that collide often: few values for the first and the last nibbles, so that short nodes,
/// extensions and collapsing branches all occur.
fn key() -> impl Strategy<Value = B256> {
    prop_oneof![
        (0_u8..4, 0_u8..3, 0_u8..4).prop_map(|(first, middle, last)| {
            let mut key = B256::ZERO;
            key[0] = first << 4;
            key[16] = middle;
            key[31] = last;
            key
        }),
        (0_u8..200).prop_map(|seed| keccak256([seed])),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), vec(1_u8..9, 1..3), vec(any::<u8>(), 33..40)]
}

fn changes() -> impl Strategy<Value = Content> {
    proptest::collection::btree_map(key(), value(), 0..40)
}

proptest! {
    /// After every step the root is the one of alloy-trie, and the records on disk are exactly
    /// those of a trie that was made at once: nothing is missing, nothing is left behind.
    #[test]
    fn any_history_leads_to_the_trie_of_its_content(
        history in vec((changes(), any::<bool>()), 1..8)
    ) {
        let disk = MemoryDisk::default();
        let (mut root, mut content) = (Child::Empty, Content::new());
        for (changes, reopen) in history {
            root = step(&disk, &root, &changes);
            apply(&mut content, &changes);
            prop_assert_eq!(root_hash(&root), expected_root(&content));
            prop_assert_eq!(disk.all(), fresh_disk(&content).all());
            if reopen {
                root = only_hash(&root);
            }
        }
    }

    /// A proof verifies against the root with alloy-trie, for keys that exist and that do not.
    #[test]
    fn proofs_verify_with_alloy(content in changes(), asked in key()) {
        let content: Content = content.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let disk = MemoryDisk::default();
        let root = only_hash(&step(&disk, &Child::Empty, &content));
        let (proof, value) = prove(NodeReader::accounts(&disk), &root, asked).unwrap();
        prop_assert_eq!(value.as_ref(), content.get(&asked));
        if !content.is_empty() {
            let key = Nibbles::unpack(asked);
            prop_assert_eq!(
                alloy_trie::proof::verify_proof(root_hash(&root), key, value, &proof),
                Ok(())
            );
        }
    }

    #[test]
    fn letting_nodes_go_keeps_the_trie(content in changes(), later in changes(), depth in 1_usize..5) {
        let disk = MemoryDisk::default();
        let root = step(&disk, &Child::Empty, &content);
        let shallow = without_depth(&root, depth);
        prop_assert_eq!(root_hash(&shallow), root_hash(&root));
        prop_assert!(resident_nodes(&shallow) <= resident_nodes(&root));
        let mut expected = Content::new();
        apply(&mut expected, &content);
        apply(&mut expected, &later);
        prop_assert_eq!(root_hash(&step(&disk, &shallow, &later)), expected_root(&expected));
    }
}

#[test]
fn large_sets_are_worked_out_in_parallel_to_the_same_root() {
    let content: Content =
        (0_u32..5000).map(|n| (keccak256(n.to_be_bytes()), n.to_be_bytes().to_vec())).collect();
    let disk = MemoryDisk::default();
    let root = step(&disk, &Child::Empty, &content);
    assert_eq!(root_hash(&root), expected_root(&content));
    let mut left = content.clone();
    let gone: Content = content.keys().step_by(2).map(|key| (*key, Vec::new())).collect();
    apply(&mut left, &gone);
    let root = step(&disk, &only_hash(&root), &gone);
    assert_eq!(root_hash(&root), expected_root(&left));
    assert_eq!(disk.all(), fresh_disk(&left).all());
}

#[test]
fn damaged_node_is_an_error_that_names_its_path() {
    let content: Content = (0_u32..50).map(|n| (keccak256(n.to_be_bytes()), vec![1; 40])).collect();
    let disk = MemoryDisk::default();
    let root = only_hash(&step(&disk, &Child::Empty, &content));
    let key = *content.keys().next().unwrap();
    let first = Nibbles::unpack(key).slice(..1).to_vec();
    let mut batch = Batch::default();
    batch.put(Column::AccountTrie, &first, b"garbage");
    disk.write(&batch, Durability::Synced).unwrap();
    let error = prove(NodeReader::accounts(&disk), &root, key).unwrap_err();
    let StoreError::TrieNode { path, .. } = error else { panic!("{error}") };
    assert_eq!(*path, *format!("/{:x}", first[0]));
}

#[test]
fn emptied_trie_leaves_no_record() {
    let content = Content::from([(keccak256(b"a"), b"v".to_vec()), (keccak256(b"b"), vec![7; 40])]);
    let disk = MemoryDisk::default();
    let root = step(&disk, &Child::Empty, &content);
    let gone = content.keys().map(|key| (*key, Vec::new())).collect();
    let root = step(&disk, &root, &gone);
    assert_eq!(root, Child::Empty);
    assert_eq!(disk.count(Column::AccountTrie), 0);
}
