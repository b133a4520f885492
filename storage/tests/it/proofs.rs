//! Proofs at the head and at past blocks, verified with alloy-trie.

use crate::world::{World, addresses, last, options, slots};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use entente_storage::AccountProof;
use tempfile::tempdir;

fn assert_proves(proof: &AccountProof, root: B256, exists: bool) {
    let AccountProof { nonce, balance, storage_hash, code_hash, .. } = *proof;
    let account = TrieAccount { nonce, balance, storage_root: storage_hash, code_hash };
    let leaf = exists.then(|| alloy_rlp::encode(account));
    let key = Nibbles::unpack(keccak256(proof.address));
    assert_eq!(verify_proof(root, key, leaf, &proof.account_proof), Ok(()));
    for slot in &proof.storage {
        let key = Nibbles::unpack(keccak256(slot.key.to_be_bytes::<32>()));
        let leaf = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        if storage_hash == alloy_trie::EMPTY_ROOT_HASH {
            assert!(slot.proof.is_empty() && slot.value.is_zero());
        } else {
            assert_eq!(verify_proof(storage_hash, key, leaf, &slot.proof), Ok(()));
        }
    }
}

#[test]
fn accounts_and_slots_are_proved_at_any_block() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(25);
    for (number, model) in world.models.iter().enumerate() {
        let number = number as u64;
        let root = world.reader.header(number).unwrap().unwrap().state_root;
        for address in addresses().chain([Address::ZERO]) {
            let asked: Vec<U256> = slots().collect();
            let proof = world.states.proof(number, address, &asked).unwrap();
            let entry = model.get(&address);
            assert_proves(&proof, root, entry.is_some());
            for slot in &proof.storage {
                let value = entry.and_then(|entry| entry.slots.get(&slot.key)).copied();
                assert_eq!(slot.value, value.unwrap_or_default());
            }
        }
    }
}

#[test]
fn proofs_hold_while_blocks_are_committed() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(5);
    let (states, reader) = (world.states.clone(), world.reader.clone());
    std::thread::scope(|scope| {
        let proving = scope.spawn(move || {
            for address in addresses() {
                let proof = states.proof(3, address, &[U256::ZERO]).unwrap();
                let root = reader.header(3).unwrap().unwrap().state_root;
                let exists = proof.nonce > 0 || !proof.balance.is_zero();
                assert_proves(&proof, root, exists);
            }
        });
        while !proving.is_finished() {
            world.commit(1);
        }
        proving.join().unwrap();
    });
}

#[test]
fn proof_of_a_state_that_is_not_kept_says_so() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &last(5));
    world.commit(20);
    let error = world.states.proof(3, Address::ZERO, &[]).unwrap_err();
    assert_eq!(error.to_string(), "state of block 3 is not kept, the oldest is block 15");
    assert!(world.states.proof(21, Address::ZERO, &[]).is_err());
}
