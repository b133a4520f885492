use super::{Genesis, GenesisBuilder, GenesisError, genesis_state_root};
use crate::{
    fork::{Activation, Fork},
    spec::{BaseFeeMode, Beneficiary, EngineKind},
};
use alloy_primitives::{Address, U256, b256};
use serde_json::{Value, json};

/// The genesis of the recorded GoQuorum chain qbft-4.
fn qbft() -> Value {
    json!({
        "config": {
            "chainId": 1337, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
            "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0, "isQuorum": true,
            "maxCodeSizeConfig": [{ "block": 0, "size": 64 }], "txnSizeLimit": 64,
            "qbft": {
                "epochlength": 30000, "blockperiodseconds": 1, "requesttimeoutseconds": 4,
                "policy": 0, "ceil2Nby3Block": 0
            }
        },
        "nonce": "0x0", "timestamp": "0x0",
        "extraData": "0xf87aa00000000000000000000000000000000000000000000000000000000000000000\
            f8549404a72a936bcc291f7e9de924c31887b93f205d7394274074b70e417678dc8449f7a9ec9b6f\
            19819c0494a4c5d25d93c5f03d1baae0985a51cd702112e4ee94d26db0bf119030c58fffa8d9a683\
            f3f111c6dc67c080c0",
        "gasLimit": "0x2faf080", "difficulty": "0x1",
        "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
        "coinbase": "0x0000000000000000000000000000000000000000",
        "number": "0x0", "gasUsed": "0x0",
        "parentHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
        "alloc": {
            "0xFE3B557E8Fb62b89F4916B721be55cEb828dBd73":
                { "balance": "0x446c3b15f9926687d2c40534fdb564000000000000" }
        }
    })
}

fn parse(file: &Value) -> Result<Genesis, GenesisError> {
    Genesis::parse(file.to_string().as_bytes())
}

fn refused(file: &Value) -> String {
    parse(file).expect_err("must be refused").to_string()
}

/// Sets a value by a JSON pointer whose last step may be new.
fn with(pointer: &str, value: Value) -> Value {
    let mut file = qbft();
    let (parent, key) = pointer.rsplit_once('/').expect("pointer");
    file.pointer_mut(parent).expect("parent")[key] = value;
    file
}

#[test]
fn goquorums_qbft_genesis_has_goquorums_hash() {
    let genesis = parse(&qbft()).expect("valid");
    assert_eq!(
        genesis.header.state_root,
        b256!("527ab473a21095ac62a65cf5a806cb0eceeec9ae383cc28ad9d4d0be07c48cf0")
    );
    assert_eq!(
        genesis.header.hash(),
        b256!("e45cc99ca1e28708dd4bb3a094ab5b60c0ea58fe62d90446d49a5b8d6a03d60b")
    );
    assert_eq!(genesis.validators.len(), 4);
    let rules = genesis.spec.rules_at(0);
    assert_eq!(rules.engine, EngineKind::Qbft);
    assert_eq!((rules.request_timeout_ms, rules.max_request_timeout_ms), (4000, 16_000));
    assert_eq!((rules.contract_size_limit, rules.transaction_size_limit), (65_536, 65_536));
    assert!(!rules.gas_price_enabled && rules.quorum_two_thirds);
    assert_eq!(genesis.spec.forks.newest(), Fork::Berlin);
}

#[test]
fn besus_spelling_of_keys_is_the_same_chain() {
    let text =
        qbft().to_string().replace("chainId", "chainid").replace("berlinBlock", "BERLINBLOCK");
    assert_eq!(Genesis::parse(text.as_bytes()), parse(&qbft()));
}

#[test]
fn an_unknown_key_is_refused_with_its_path_and_the_likely_one() {
    let error = refused(&with("/config/qbft/epochlenght", json!(5)));
    assert!(error.starts_with("config.qbft.epochlenght (line 1, column "), "{error}");
    assert!(error.ends_with("unknown key, did you mean epochlength?"), "{error}");
    let error = refused(&with("/config/shanghaiBlock", json!(5)));
    assert!(error.ends_with("did you mean shanghaiTime?"), "{error}");
}

#[test]
fn an_error_names_line_and_column() {
    let text = "{\n \"config\": {\n  \"chainId\": -5 } }";
    let error = Genesis::parse(text.as_bytes()).expect_err("refused").to_string();
    assert_eq!(
        error,
        "config.chainId (line 3, column 14): got -5, expected a number from 1 to 2^64-1"
    );
}

#[test]
fn chain_ids_are_from_1_to_the_largest_u64() {
    for wrong in [json!(0), json!("18446744073709551616"), json!("x"), json!([]), json!(1.5)] {
        assert!(refused(&with("/config/chainId", wrong)).contains("expected a number from 1"));
    }
    let mut file = qbft();
    file["config"].as_object_mut().expect("config").remove("chainId");
    assert!(refused(&file).contains("chainId is missing"));
    let large = parse(&with("/config/chainId", json!("0xffffffffffffffff"))).expect("valid");
    assert_eq!(large.spec.chain_id, u64::MAX);
}

#[test]
fn forks_out_of_order_are_refused() {
    assert!(
        refused(&with("/config/byzantiumBlock", json!(7))).contains("at least 7, where Byzantium")
    );
    let mut file = with("/config/berlinBlock", json!(7));
    file["config"]["shanghaiTime"] = json!(0);
    assert!(refused(&file).contains("a time after Berlin"));
    assert!(refused(&with("/config/amsterdamTime", json!(1))).contains("no fork after Osaka"));
}

#[test]
fn one_engine_and_no_second() {
    let error = refused(&with("/config/clique", json!({})));
    assert!(error.contains("one engine, config.qbft is given too"), "{error}");
    let mut file = qbft();
    file["config"].as_object_mut().expect("config").remove("qbft");
    file["extraData"] = json!("0x");
    let raft = parse(&file).expect("valid");
    assert_eq!(raft.spec.engine_at(0), EngineKind::Raft);
    assert!(raft.spec.nanosecond_timestamps);
    file["config"]["isQuorum"] = json!(false);
    assert!(refused(&file).contains("qbft is missing"));
    file["config"]["terminalTotalDifficulty"] = json!(0);
    let ethereum = parse(&file).expect("valid");
    assert_eq!(ethereum.spec.engine_at(0), EngineKind::Ethereum);
    assert_eq!(ethereum.spec.forks.activation(Fork::Paris), Some(Activation::Block(0)));
}

#[test]
fn an_address_may_stand_once_in_alloc_however_it_is_spelled() {
    let again = with("/alloc/fe3b557e8fb62b89f4916b721be55ceb828dbd73", json!({ "balance": "1" }));
    assert!(refused(&again).contains("given twice"));
    assert!(refused(&with("/alloc/0x12", json!({}))).contains("expected an address"));
    let text = qbft().to_string().replacen("\"nonce\"", "\"Nonce\":\"0x0\",\"nonce\"", 1);
    assert!(Genesis::parse(text.as_bytes()).expect_err("refused").to_string().contains("twice"));
}

#[test]
fn accounts_that_cannot_be_are_refused() {
    const PLACE: &str = "/alloc/0xFE3B557E8Fb62b89F4916B721be55cEb828dBd73";
    let account = |account: Value| refused(&with(PLACE, account));
    assert!(account(json!({ "code": "0xef0100" })).contains("EIP-3541"));
    let more = format!("0x1{}", "0".repeat(64));
    assert!(account(json!({ "balance": more })).contains("at most 2^256-1"));
    assert!(account(json!({ "storage": { "0x1": "xyz" } })).contains("a storage value"));
    assert!(account(json!({ "storage": { "0x1": "1", "0x01": "1" } })).contains("given twice"));
    assert!(account(json!({ "code": "0x123" })).contains("an even count"));
}

#[test]
fn balances_keep_all_their_digits() {
    const PLACE: &str = "/alloc/0xFE3B557E8Fb62b89F4916B721be55cEb828dBd73";
    let text = with(PLACE, json!({ "balance": "@" })).to_string();
    let text = text.replace("\"@\"", "1000000000000000000000000001");
    let genesis = Genesis::parse(text.as_bytes()).expect("valid");
    let balance = genesis.alloc.values().next().expect("account").balance;
    assert_eq!(balance, U256::from(1_000_000_000_000_000_000_000_000_001_u128));
}

#[test]
fn extra_data_must_be_the_engines() {
    assert!(refused(&with("/extraData", json!("0x00"))).contains("extraData of QBFT"));
    let others = json!(["0x0000000000000000000000000000000000000001"]);
    assert!(refused(&with("/config/qbft/validators", others)).contains("config.qbft.validators"));
}

#[test]
fn transitions_of_goquorum_and_besu_are_read() {
    let beneficiary = "0x0000000000000000000000000000000000000001";
    let list = json!([
        { "block": 5, "blockperiodseconds": 2, "requesttimeoutseconds": 8, "2FPlus1Enabled": true },
        { "block": 9, "gasPriceEnabled": true, "miner.gaslimit": 7, "contractsizelimit": 24,
          "transactionSizeLimit": 32, "miningBeneficiary": beneficiary, "blockReward": "0x5" },
    ]);
    let genesis = parse(&with("/config/transitions", list)).expect("valid");
    let rules = genesis.spec.rules_at(9);
    assert_eq!((rules.block_period_ms, rules.max_request_timeout_ms), (2000, 32_000));
    assert!(rules.gas_price_enabled && !rules.quorum_two_thirds);
    assert_eq!(rules.gas_limit_target, Some(7));
    assert_eq!((rules.contract_size_limit, rules.transaction_size_limit), (24_576, 32_768));
    assert_eq!(rules.block_reward, U256::from(5));
    assert_eq!(rules.beneficiary, Beneficiary::Fixed(Address::with_last_byte(1)));

    let besu = json!({ "qbft": [
        { "block": 3, "xblockperiodmilliseconds": 250, "xemptyblockperiodseconds": 60 },
        { "block": 4, "validators": [beneficiary] },
    ] });
    let mut file = with("/config/transitions", besu);
    file["config"]["isQuorum"] = json!(false);
    let spec = parse(&file).expect("valid").spec;
    let rules = spec.rules_at(4);
    assert_eq!((rules.block_period_ms, rules.empty_block_period_ms), (250, Some(60_000)));
    assert_eq!(spec.validators_named_for(4), Some([Address::with_last_byte(1)].as_slice()));
    assert_eq!(spec.validators_named_for(5), None);
    assert!(
        refused(&with("/config/transitions", json!([{ "block": 3 }, { "block": 2 }])))
            .contains("config.transitions[1].block")
    );
}

#[test]
fn a_chain_may_change_from_any_engine_to_any_other() {
    let error = refused(&with("/config/transitions", json!([{ "block": 3, "algorithm": "pow" }])));
    assert!(error.contains("ibft, qbft, raft or clique"), "{error}");
    let changes = json!([
        { "block": 3, "algorithm": "raft" },
        { "block": 5, "algorithm": "clique" },
        { "block": 9, "algorithm": "ibft", "blockperiodseconds": 4 },
    ]);
    let spec = parse(&with("/config/transitions", changes)).expect("valid").spec;
    let at = |block| (spec.engine_at(block), spec.rules_at(block).block_period_ms);
    assert_eq!(at(3), (EngineKind::Raft, 2), "Raft comes with its own pace");
    assert_eq!(at(5), (EngineKind::Clique, 1000), "and takes it along when it leaves");
    assert_eq!(at(9), (EngineKind::Istanbul, 4000));
    let mut file = with("/config/transitions", json!([{ "block": 16, "algorithm": "qbft" }]));
    let config = file["config"].as_object_mut().expect("config");
    let section = config.remove("qbft").expect("section");
    config.insert("ibft".into(), section);
    file["extraData"] = json!(
        "0x0000000000000000000000000000000000000000000000000000000000000000\
         f858f8549404a72a936bcc291f7e9de924c31887b93f205d7394274074b70e417678dc8449f7a9ec9b6f\
         19819c0494a4c5d25d93c5f03d1baae0985a51cd702112e4ee94d26db0bf119030c58fffa8d9a683f3f1\
         11c6dc6780c0"
    );
    let spec = parse(&file).expect("valid").spec;
    assert_eq!(spec.engine_at(15), EngineKind::Istanbul);
    assert_eq!(spec.engine_at(16), EngineKind::Qbft);
}

#[test]
fn later_header_fields_come_with_their_forks() {
    let mut file = qbft();
    file["config"]["isQuorum"] = json!(false);
    file["config"]["londonBlock"] = json!(0);
    let london = parse(&file).expect("valid").header;
    assert_eq!(london.base_fee_per_gas, Some(1_000_000_000));
    assert_eq!(london.withdrawals_root, None);
    file["config"]["zeroBaseFee"] = json!(true);
    file["config"]["pragueTime"] = json!(0);
    file["baseFeePerGas"] = json!("0x0");
    let prague = parse(&file).expect("valid").header;
    assert_eq!(prague.base_fee_per_gas, Some(0));
    assert!(prague.withdrawals_root.is_some() && prague.requests_hash.is_some());
    assert_eq!((prague.blob_gas_used, prague.excess_blob_gas), (Some(0), Some(0)));
}

#[test]
fn blob_parameters_follow_the_schedule() {
    let mut file = qbft();
    file["config"]["cancunTime"] = json!(10);
    file["config"]["pragueTime"] = json!(20);
    file["config"]["bpo1Time"] = json!(30);
    file["config"]["blobSchedule"] = json!({ "prague": { "target": 7, "max": 8 } });
    let spec = parse(&file).expect("valid").spec;
    let at = |time| spec.blob_parameters_at(time).map(|entry| (entry.target, entry.max));
    assert_eq!((at(9), at(10)), (None, Some((3, 6))));
    assert_eq!((at(20), at(30)), (Some((7, 8)), Some((10, 15))));
    file["config"]["bpo3Time"] = json!(40);
    assert!(refused(&file).contains("blobSchedule.bpo3"));
}

#[test]
fn a_built_genesis_is_read_back() {
    let validators = (1..=4).rev().map(Address::repeat_byte).collect();
    let account = (Address::repeat_byte(9), U256::from(5));
    let builder = GenesisBuilder {
        accounts: vec![account],
        block_period_ms: 500,
        ..GenesisBuilder::new(7, validators)
    };
    let genesis = Genesis::parse(builder.to_json().as_bytes()).expect("valid");
    assert_eq!(genesis.spec.fork_at(0, 0), Fork::Osaka);
    assert_eq!(genesis.spec.base_fee, BaseFeeMode::Zero);
    assert_eq!(genesis.header.base_fee_per_gas, Some(0));
    assert_eq!(genesis.header.gas_limit, 200_000_000);
    assert_eq!(genesis.spec.rules_at(0).block_period_ms, 500);
    assert_eq!(genesis.validators.first(), Some(&Address::repeat_byte(1)));
    assert_eq!(genesis.alloc.len(), 3);
    assert_eq!(genesis_state_root(&genesis.alloc), genesis.header.state_root);
    let lines = genesis.describe();
    assert!(!lines.iter().any(|line| line.starts_with("warning:")), "{lines:?}");
}

#[test]
fn only_what_is_still_ahead_may_change() {
    let mut file = qbft();
    let stored = parse(&file).expect("valid").spec;
    file["config"]["londonBlock"] = json!(100);
    file["config"]["transitions"] = json!([{ "block": 60, "blockperiodseconds": 3 }]);
    file["config"]["qbft"]["requesttimeoutseconds"] = json!(9);
    let given = parse(&file).expect("valid").spec;
    assert_eq!(stored.compatible(&given, 59, 59), Ok(()));
    let late = stored.compatible(&given, 60, 60).expect_err("transition is past");
    assert_eq!(late.what, "config.transitions");
    assert_eq!(late.given, "a change of settings at block 60");
    let late = stored.compatible(&given, 100, 100).expect_err("fork is past");
    assert_eq!((late.what.as_str(), late.given.as_str()), ("London", "block 100"));
}

#[test]
fn describing_warns_of_forks_left_out() {
    let mut file = qbft();
    file["config"].as_object_mut().expect("config").remove("istanbulBlock");
    let lines = parse(&file).expect("valid").describe();
    assert!(
        lines.iter().any(|line| line.starts_with("warning: Istanbul is not given")),
        "{lines:?}"
    );
}

/// As recorded from GoQuorum 24.4.1: a transition at T says who votes on T + 1. Besu's says it of T.
#[test]
fn under_goquorums_rules_a_transition_says_who_votes_a_block_later() {
    let contract = Address::repeat_byte(0x77);
    let named = vec![Address::repeat_byte(1)];
    let mut file = qbft();
    file["config"]["transitions"] = json!([
        { "block": 8, "validatorselectionmode": "contract", "validatorcontractaddress": contract },
        { "block": 20, "validatorselectionmode": "blockheader", "validators": named },
        { "block": 30, "algorithm": "raft", "validators": named },
        { "block": 40, "algorithm": "qbft", "validators": named },
    ]);
    for (is_quorum, late) in [(false, 0), (true, 1)] {
        file["config"]["isQuorum"] = json!(is_quorum);
        let spec = parse(&file).expect("valid").spec;
        let by_contract: Vec<u64> =
            (1..50).filter(|number| spec.validator_contract_at(*number).is_some()).collect();
        assert_eq!(by_contract, (8 + late..20 + late).collect::<Vec<_>>(), "{is_quorum}");
        let begin: Vec<u64> =
            (0..50).filter(|number| spec.validators_named_for(*number).is_some()).collect();
        // A change of engine is ours, and holds from its block on.
        assert_eq!(begin, [20 + late, 30, 40], "{is_quorum}");
    }
}

#[test]
fn a_list_named_just_before_a_change_of_engine_is_not_lost() {
    let (first, second) = ([Address::repeat_byte(1)], [Address::repeat_byte(2)]);
    let mut file = qbft();
    file["config"]["isQuorum"] = json!(true);
    file["config"]["transitions"] =
        json!([{ "block": 29, "validators": first }, { "block": 30, "algorithm": "raft" }]);
    let spec = parse(&file).expect("valid").spec;
    assert_eq!(
        [29, 30, 31].map(|block| spec.validators_named_for(block)),
        [None, Some(first.as_slice()), None]
    );
    file["config"]["transitions"][1]["validators"] = json!(second);
    let spec = parse(&file).expect("valid").spec;
    assert_eq!(spec.validators_named_for(30), Some(second.as_slice()));
}

/// Clique reads its signers from headers: with a contract's in the ledger the two would part.
#[test]
fn only_ibft_asks_a_validator_contract() {
    let contract = Address::repeat_byte(0x77);
    let mut file = qbft();
    file["config"]["isQuorum"] = json!(false);
    file["config"]["transitions"] = json!([
        { "block": 8, "validatorselectionmode": "contract", "validatorcontractaddress": contract },
        { "block": 20, "algorithm": "clique" },
        { "block": 30, "algorithm": "raft" },
        { "block": 40, "algorithm": "ibft" },
    ]);
    let spec = parse(&file).expect("valid").spec;
    let asked = [7, 8, 19, 20, 30, 39, 40].map(|block| spec.validator_contract_at(block).is_some());
    assert_eq!(asked, [false, true, true, false, false, false, true]);
}

#[test]
fn a_transition_to_clique_answers_the_question_of_equal_branches() {
    let mut file = qbft();
    file["config"]["transitions"] =
        json!([{ "block": 8, "algorithm": "clique", "eip3436": true }, { "block": 9 }]);
    let spec = parse(&file).expect("valid").spec;
    assert_eq!([7, 8, 9].map(|number| spec.rules_at(number).eip3436), [false, true, true]);
}
