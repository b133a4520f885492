//! Validators that a contract names, over real processes: a transaction changes them, whoever is
//! left out stops, and transitions hand over between contract and headers.

use crate::{
    http::{call, head, wait_for},
    network::Network,
    registry::{REGISTRY, decide_from_genesis, deploy, slots, storing},
    wallet::Wallet,
};
use alloy_consensus::TxLegacy;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use entente_chain::extra_data::qbft::QbftExtra;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// The validators of a genesis file, ascending.
fn listed(block: &Value) -> Vec<Address> {
    let extra: Bytes = serde_json::from_value(block["extraData"].clone()).expect("extraData");
    QbftExtra::decode(&extra).expect("extraData of QBFT").validators
}

/// Stores another list; the block that did.
fn store(port: u16, wallet: &mut Wallet, validators: &[Address]) -> u64 {
    let raw = wallet.next(|nonce| TxLegacy {
        chain_id: Some(1337),
        nonce,
        gas_price: 0,
        gas_limit: 1_000_000,
        to: TxKind::Call(REGISTRY),
        value: U256::ZERO,
        input: storing(&slots(validators)),
    });
    let hash = call(port, "eth_sendRawTransaction", json!([raw])).expect("taken");
    let receipt = wait_for("the receipt", PATIENCE, || {
        let receipt = call(port, "eth_getTransactionReceipt", json!([hash])).ok()?;
        receipt.is_object().then_some(receipt)
    });
    assert_eq!(receipt["status"], "0x1");
    quantity(&receipt["blockNumber"])
}

fn quantity(value: &Value) -> u64 {
    let text = value.as_str().expect("a quantity").trim_start_matches("0x");
    u64::from_str_radix(text, 16).expect("hex")
}

fn addresses(value: Value) -> Vec<Address> {
    let mut found: Vec<Address> = serde_json::from_value(value).expect("addresses");
    found.sort_unstable();
    found
}

/// Who votes on the block after this one.
fn validators_after(port: u16, number: u64) -> Vec<Address> {
    let answer = call(port, "istanbul_getValidators", json!([format!("{number:#x}")]));
    addresses(answer.expect("validators"))
}

/// Who made and who sealed a block.
fn signers(port: u16, number: u64) -> (Address, Vec<Address>) {
    let answer = call(port, "istanbul_getSignersFromBlock", json!([format!("{number:#x}")]));
    let answer = answer.expect("signers");
    let author = serde_json::from_value(answer["Author"].clone()).expect("an address");
    (author, addresses(answer["Committers"].clone()))
}

fn wait_for_block(port: u16, number: u64) {
    wait_for(&format!("block {number}"), PATIENCE, || (head(port).ok()? >= number).then_some(()));
}

fn without(all: &[Address], one: Address) -> Vec<Address> {
    all.iter().copied().filter(|address| *address != one).collect()
}

#[test]
fn a_transaction_changes_the_validators_and_a_transition_hands_over_to_votes() {
    const BACK: u64 = 160;
    let mut all = Vec::new();
    let network = Network::with_genesis("ibft", 4, "250ms", |genesis| {
        all = listed(genesis);
        deploy(genesis, &all);
        decide_from_genesis(genesis);
        genesis["config"]["transitions"] =
            json!([{ "block": BACK, "validatorselectionmode": "blockheader" }]);
    });
    let (port, mut wallet) = (network.port(0), Wallet::funded(0));
    wait_for_block(port, 2);
    assert_eq!(validators_after(port, 1), all);
    let block = network.agree_at(1, PATIENCE);
    assert!(listed(&block).is_empty(), "headers name nobody while a contract decides");

    // The set follows in the next block, and whoever is left out stops.
    let last: Address = network.validator(3).parse().expect("an address");
    let three = without(&all, last);
    let changed = store(port, &mut wallet, &three);
    assert_eq!(validators_after(port, changed), three);
    wait_for_block(port, changed + 6);
    for number in changed + 1..=changed + 6 {
        let (author, committers) = signers(port, number);
        assert!(author != last && !committers.contains(&last), "block {number}");
    }
    // It follows all the same.
    network.agree_at(changed + 6, PATIENCE);

    // Back again, it makes blocks again.
    let back = store(port, &mut wallet, &all);
    assert!(back + 8 < BACK, "too slow for the transition at {BACK}: block {back}");
    let mut number = back + 1;
    wait_for("a block of the validator that came back", PATIENCE, || {
        if head(port).ok()? < number {
            return None;
        }
        let (author, _) = signers(port, number);
        number += 1;
        (author == last).then_some(())
    });

    // From the transition on headers name the validators and votes change them.
    wait_for_block(port, BACK + 1);
    assert!(listed(&network.agree_at(BACK - 1, PATIENCE)).is_empty());
    assert_eq!(listed(&network.agree_at(BACK, PATIENCE)), all);
    for voter in 0..3 {
        let vote = call(network.port(voter), "istanbul_propose", json!([last, false]));
        vote.expect("a vote");
    }
    wait_for("the votes to remove it", PATIENCE, || {
        let number = head(port).ok()?;
        (validators_after(port, number) == three).then_some(())
    });
}

#[test]
fn a_transition_hands_over_to_a_contract_that_names_fewer() {
    const SWITCH: u64 = 6;
    let mut all = Vec::new();
    let network = Network::with_genesis("ibft", 4, "250ms", |genesis| {
        all = listed(genesis);
        deploy(genesis, &all[..3]);
        genesis["config"]["transitions"] = json!({ "qbft": [{
            "block": SWITCH,
            "validatorselectionmode": "contract",
            "validatorcontractaddress": REGISTRY,
        }] });
    });
    let port = network.port(0);
    wait_for_block(port, SWITCH + 6);
    assert_eq!(listed(&network.agree_at(SWITCH - 1, PATIENCE)), all);
    assert_eq!(validators_after(port, SWITCH - 2), all);
    assert_eq!(validators_after(port, SWITCH - 1), all[..3]);
    for number in SWITCH..SWITCH + 6 {
        assert!(listed(&network.agree_at(number, PATIENCE)).is_empty());
        let (author, committers) = signers(port, number);
        assert!(author != all[3] && !committers.contains(&all[3]), "block {number}");
    }
}

/// Clique's engine reads its signers from headers: a contract's list in the ledger once ended it.
#[test]
fn under_clique_the_contract_is_silent_and_under_ibft_it_speaks_again() {
    const AWAY: u64 = 4;
    const BACK: u64 = 30;
    let mut all = Vec::new();
    let network = Network::with_genesis("ibft", 4, "250ms", |genesis| {
        all = listed(genesis);
        deploy(genesis, &all);
        decide_from_genesis(genesis);
        genesis["config"]["transitions"] = json!([
            { "block": AWAY, "algorithm": "clique", "eip3436": true, "blockperiodseconds": 1 },
            { "block": BACK, "algorithm": "qbft" },
        ]);
    });
    let (port, mut wallet) = (network.port(0), Wallet::funded(0));
    wait_for_block(port, AWAY + 1);
    let changed = store(port, &mut wallet, &all[..3]);
    assert!((AWAY..BACK - 2).contains(&changed), "too slow for the transition at {BACK}");
    wait_for_block(port, BACK + 3);
    for number in changed..BACK - 1 {
        assert_eq!(validators_after(port, number), all, "block {number}");
    }
    for number in BACK + 1..=BACK + 3 {
        let (author, committers) = signers(port, number);
        assert!(author != all[3] && !committers.contains(&all[3]), "block {number}");
    }
    network.agree_at(BACK + 3, PATIENCE);
}
