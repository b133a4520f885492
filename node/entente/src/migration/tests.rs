use super::{
    Request, Standing,
    checks::{Plan, check, who_seals_first},
    differences,
    refusal::Refusal,
    standing::Asked,
};
use alloy_primitives::Address;
use entente_chain::{
    ValidatorSet,
    genesis::{Genesis, GenesisBuilder},
    spec::EngineKind,
};
use serde_json::{Value, json};

const HEAD: u64 = 100;

fn some(count: u8) -> Vec<Address> {
    (1..=count).map(Address::repeat_byte).collect()
}

/// A chain of four under an engine, its genesis file changed.
fn standing(engine: EngineKind, change: impl FnOnce(&mut Value)) -> Standing {
    let builder = GenesisBuilder { engine, ..GenesisBuilder::new(1337, some(4)) };
    let mut file: Value = serde_json::from_str(&builder.to_json()).unwrap();
    change(&mut file);
    let genesis_json = file.to_string().into_bytes();
    let genesis = Genesis::parse(&genesis_json).unwrap();
    Standing {
        genesis_hash: genesis.header.hash(),
        spec: genesis.spec,
        genesis_json,
        head: HEAD,
        head_timestamp: 1_000,
        validators: Some(ValidatorSet::new(some(4)).unwrap()),
        open_votes: 0,
        contract: None,
    }
}

fn to(engine: EngineKind, at: u64) -> Request {
    let eip3436 = (engine == EngineKind::Clique).then_some(true);
    Request { to: engine, at, period_ms: None, validators: None, eip3436 }
}

fn qbft() -> Standing {
    standing(EngineKind::Qbft, |_| {})
}

#[test]
fn every_engine_may_follow_every_other() {
    let all = [EngineKind::Qbft, EngineKind::Istanbul, EngineKind::Raft, EngineKind::Clique];
    for from in all {
        let standing = standing(from, |_| {});
        for engine in all.into_iter().filter(|engine| *engine != from) {
            let Plan { spec, .. } = check(&to(engine, 5_000), &standing).unwrap();
            assert_eq!((spec.engine_at(4_999), spec.engine_at(5_000)), (from, engine));
        }
    }
}

#[test]
fn a_block_at_or_below_the_head_is_refused_with_the_lowest_sensible_one() {
    for at in [0, 1, HEAD] {
        let error = check(&to(EngineKind::Raft, at), &qbft()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the head is block 100; 101 is the lowest"), "{text}");
        assert!(text.contains("700 leaves ten minutes"), "{text}");
    }
    let plan = check(&to(EngineKind::Raft, HEAD + 1), &qbft()).unwrap();
    assert!(plan.warnings.iter().any(|text| text.contains("stop all nodes")), "{plan:?}");
}

#[test]
fn an_engine_that_is_there_already_is_refused() {
    let error = check(&to(EngineKind::Qbft, 500), &qbft()).unwrap_err();
    assert!(matches!(error, Refusal::Same { before: 499, .. }), "{error}");
    let taken = standing(EngineKind::Qbft, |file| {
        file["config"]["transitions"] = json!([{ "block": 500, "algorithm": "clique" }]);
    });
    let error = check(&to(EngineKind::Raft, 500), &taken).unwrap_err();
    assert!(matches!(error, Refusal::Taken { at: 500, .. }), "{error}");
}

#[test]
fn validators_that_are_no_set_are_refused() {
    let named = |validators| Request { validators: Some(validators), ..to(EngineKind::Raft, 500) };
    for bad in [vec![], [some(2), some(1)].concat()] {
        let error = check(&named(bad), &qbft()).unwrap_err();
        assert!(matches!(error, Refusal::Validators(_)), "{error}");
    }
    let error = check(&named(vec![Address::ZERO]), &qbft()).unwrap_err();
    assert!(matches!(error, Refusal::ZeroAddress), "{error}");
    let plan = check(&named(some(3)), &qbft()).unwrap();
    assert_eq!(plan.spec.validators_named_for(500), Some(some(3).as_slice()));
}

#[test]
fn clique_needs_an_answer_about_equal_branches_and_nobody_else_has_one() {
    let silent = Request { eip3436: None, ..to(EngineKind::Clique, 500) };
    assert!(matches!(check(&silent, &qbft()).unwrap_err(), Refusal::Eip3436));
    let elsewhere = Request { eip3436: Some(true), ..to(EngineKind::Raft, 500) };
    assert!(matches!(check(&elsewhere, &qbft()).unwrap_err(), Refusal::NotClique(_)));
    for answer in [true, false] {
        let request = Request { eip3436: Some(answer), ..to(EngineKind::Clique, 500) };
        let plan = check(&request, &qbft()).unwrap();
        assert_eq!(plan.spec.rules_at(500).eip3436, answer);
    }
}

#[test]
fn too_few_validators_for_any_fault_are_a_warning() {
    let three = Request { validators: Some(some(3)), ..to(EngineKind::Istanbul, 500) };
    let plan = check(&three, &qbft()).unwrap();
    assert!(plan.warnings.iter().any(|text| text.contains("withstands no fault")), "{plan:?}");
    let rows = differences::of(&plan, &three, Some(4));
    let row = rows.iter().find(|row| row.what == "quorum").unwrap();
    assert_eq!((row.before.as_str(), row.after.as_str()), ("3 of 4", "2 of 3"));
}

#[test]
fn a_contract_must_be_there_and_name_somebody() {
    let contract = Address::repeat_byte(0x77);
    let mut standing = standing(EngineKind::Qbft, |file| {
        file["config"]["qbft"]["validatorcontractaddress"] = json!(contract);
        file["config"]["qbft"]["validatorselectionmode"] = json!("contract");
    });
    let request = to(EngineKind::Raft, 500);
    // Under Clique nobody asks it: those who seal today go on.
    let mut clique = standing.clone();
    clique.spec.genesis_rules.engine = EngineKind::Clique;
    let asked = who_seals_first(&request, &clique).unwrap();
    assert_eq!(asked.addresses(), some(4));
    let mut answers = |answer| {
        standing.contract = Some(Asked { address: contract, answer });
        check(&request, &standing)
    };
    let error = answers(Err(None)).unwrap_err();
    assert!(matches!(error, Refusal::NoContract { .. }), "{error}");
    let error = answers(Err(Some("reverted".into()))).unwrap_err();
    assert!(matches!(error, Refusal::Contract { .. }), "{error}");
    let named = answers(Ok(ValidatorSet::new(some(3)).unwrap())).unwrap();
    assert_eq!(named.validators.addresses(), some(3));
    assert!(named.warnings.iter().any(|text| text.contains("raft asks no validator contract")));
    // Named validators end the contract's turn.
    let request = Request { validators: Some(some(4)), ..request };
    let plan = check(&request, &standing).unwrap();
    assert_eq!(plan.spec.validator_contract_at(500), None);
    assert_eq!(plan.entry["validatorselectionmode"], "blockheader");
}

#[test]
fn a_raft_chain_of_goquorum_must_say_who_votes() {
    let unknown = Standing { validators: None, ..qbft() };
    let error = check(&to(EngineKind::Raft, 500), &unknown).unwrap_err();
    assert!(matches!(error, Refusal::Unknown(500)), "{error}");
}

#[test]
fn a_period_of_nothing_is_refused_where_it_means_as_before() {
    let request = Request { period_ms: Some(0), ..to(EngineKind::Istanbul, 500) };
    assert!(check(&request, &qbft()).is_ok());
    let quorum = standing(EngineKind::Qbft, |file| file["config"]["isQuorum"] = json!(true));
    let error = check(&request, &quorum).unwrap_err();
    assert!(matches!(error, Refusal::Period(_)), "{error}");
    for (period, key, value) in
        [(2_000, "blockperiodseconds", 2), (250, "xblockperiodmilliseconds", 250)]
    {
        let request = Request { period_ms: Some(period), ..to(EngineKind::Istanbul, 500) };
        let plan = check(&request, &qbft()).unwrap();
        assert_eq!(plan.entry[key], json!(value));
        assert_eq!(plan.spec.rules_at(500).block_period_ms, period);
    }
}

/// Both forms of `transitions` take the entry, in the order of blocks.
#[test]
fn the_entry_finds_its_place_among_others() {
    let list =
        json!([{ "block": 200, "blockperiodseconds": 2 }, { "block": "0x384", "epochlength": 9 }]);
    for transitions in [list.clone(), json!({ "qbft": list }), json!({ "clique": [] })] {
        let standing =
            standing(EngineKind::Qbft, |file| file["config"]["transitions"] = transitions);
        let plan = check(&to(EngineKind::Raft, 500), &standing).unwrap();
        let blocks: Vec<u64> = plan.spec.transitions.iter().map(|change| change.block).collect();
        assert!(blocks.is_sorted() && blocks.contains(&500), "{blocks:?}");
        assert_eq!(plan.spec.engine_at(500), EngineKind::Raft);
    }
}

#[test]
fn validators_that_seal_nothing_today_are_a_warning() {
    let strangers = |count| {
        let request = Request { validators: Some(some(count)), ..to(EngineKind::Raft, 500) };
        let plan = check(&request, &qbft()).unwrap();
        plan.warnings.into_iter().find(|text| text.contains("seal nothing today"))
    };
    assert_eq!(strangers(4), None);
    assert!(strangers(6).is_some_and(|text| text.starts_with("2 of the 6 named")));
}

#[test]
fn voters_that_nobody_knows_are_not_counted_as_none() {
    let named = Request { validators: Some(some(4)), ..to(EngineKind::Qbft, 500) };
    let raft = Standing { validators: None, ..standing(EngineKind::Raft, |_| {}) };
    let plan = check(&named, &raft).unwrap();
    let rows = differences::of(&plan, &named, None);
    let before = |what| &rows.iter().find(|row| row.what == what).unwrap().before;
    for what in ["validators", "quorum", "withstands"] {
        assert_eq!(before(what), "not known", "{what}");
    }
}

#[test]
fn clients_hear_only_of_what_changes_for_them() {
    let lines = |from, request: Request| {
        let plan = check(&request, &standing(from, |_| {})).unwrap();
        (differences::for_clients(&plan, &request), differences::for_nodes(&plan, &request))
    };
    let says = |lines: &[&str], word: &str| lines.iter().any(|line| line.contains(word));
    let (clients, _) = lines(EngineKind::Clique, to(EngineKind::Raft, 500));
    assert!(says(&clients, "final at once") && says(&clients, "with transactions"), "{clients:?}");
    let on_demand = Request { period_ms: Some(0), ..to(EngineKind::Qbft, 500) };
    let (clients, nodes) = lines(EngineKind::Raft, on_demand);
    assert!(!says(&clients, "by the clock") && says(&clients, "namespace"), "{clients:?}");
    assert_eq!(nodes.len(), 2);
    let (clients, nodes) = lines(EngineKind::Qbft, to(EngineKind::Istanbul, 500));
    assert!(!says(&clients, "namespace"), "the same methods answer: {clients:?}");
    assert_eq!(nodes.len(), 1);
}
