//! A validator contract in 80 bytes, written by hand. The node's end-to-end tests read this file too.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use serde_json::{Value, json};

pub(crate) const REGISTRY: Address = address!("0x0000000000000000000000000000000000007777");

/// Slot 0 holds how many validators there are, the slots from 1 on hold them. Four bytes of input
/// are taken for `getValidators()`; any other input is pairs of slot and value to store.
const CODE: &str = concat!(
    "0x36600414602157",             // CALLDATASIZE 4 EQ :get JUMPI
    "60005b80361115601f57",         // 0 loop: DUP1 CALLDATASIZE GT ISZERO :end JUMPI
    "8060200135813555",             // DUP1 32 ADD CALLDATALOAD DUP2 CALLDATALOAD SSTORE
    "604001600956",                 // 64 ADD :loop JUMP
    "5b00",                         // end: STOP
    "5b60206000526000548060205280", // get: 32 0 MSTORE 0 SLOAD DUP1 32 MSTORE DUP1
    "5b8015604657",                 // next: DUP1 ISZERO :done JUMPI
    "80548160051b60200152",         // DUP1 SLOAD DUP2 5 SHL 32 ADD MSTORE
    "60019003602f56",               // 1 SWAP1 SUB :next JUMP
    "5b5060051b6040016000f3",       // done: POP 5 SHL 64 ADD 0 RETURN
);

/// Slots that list these validators.
pub(crate) fn slots(validators: &[Address]) -> Vec<(U256, U256)> {
    let words = validators.iter().map(|address| U256::from_be_bytes(address.into_word().0));
    let count = U256::from(validators.len());
    (0_u64..).map(U256::from).zip(std::iter::once(count).chain(words)).collect()
}

/// Input that stores slots.
pub(crate) fn storing(slots: &[(U256, U256)]) -> Bytes {
    let words = slots.iter().flat_map(|(slot, value)| [slot, value]);
    words.flat_map(|word| word.to_be_bytes::<32>()).collect()
}

/// Puts the contract into a genesis file.
pub(crate) fn deploy(file: &mut Value, validators: &[Address]) {
    let storage: serde_json::Map<String, Value> = slots(validators)
        .into_iter()
        .map(|(slot, value)| (B256::from(slot).to_string(), json!(B256::from(value))))
        .collect();
    file["alloc"][REGISTRY.to_string()] =
        json!({ "balance": "0x0", "code": CODE, "storage": storage });
}

/// Makes the contract name the validators from genesis on.
pub(crate) fn decide_from_genesis(file: &mut Value) {
    let section = &mut file["config"]["qbft"];
    section["validatorcontractaddress"] = json!(REGISTRY);
    section["validatorselectionmode"] = json!("contract");
}
