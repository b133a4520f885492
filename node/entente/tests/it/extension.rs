//! A private contract gets one more party, over four real processes: `quorumExtension` from the
//! request to the transaction of the new party, and everything that is refused on the way.

use crate::{
    http::wait_for,
    private::{PATIENCE, Parties, random_word},
};
use serde_json::{Value, json};

/// What a request is about, with the accounts and keys of its two sides.
struct Request<'a> {
    parties: &'a Parties,
    contract: Value,
    management: Value,
}

impl Parties {
    fn extension(&self, node: u16, method: &str, params: Value) -> Result<Value, String> {
        self.ask(node, &format!("quorumExtension_{method}"), params)
    }

    /// Asks to extend a contract of node 0 to node 1.
    fn extend(&self, contract: &Value) -> Result<Value, String> {
        let transaction = json!({ "from": self.accounts[0], "privateFor": [self.key(1)] });
        let params = json!([contract, self.key(1), self.accounts[1], transaction]);
        self.extension(0, "extendContract", params)
    }

    fn request(&self, contract: &Value) -> Request<'_> {
        let hash = self.extend(contract).expect("a request");
        let receipt = self.receipt(0, &hash);
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        let management = receipt["contractAddress"].clone();
        assert_eq!(self.receipt(1, &hash)["contractAddress"], management);
        Request { parties: self, contract: contract.clone(), management }
    }
}

impl Request<'_> {
    fn vote(&self, node: u16, accept: bool) -> Result<Value, String> {
        let parties = self.parties;
        let others: Vec<_> = [0, 1].into_iter().filter(|other| *other != node).collect();
        let transaction = json!({
            "from": parties.accounts[usize::from(node)], "privateFor": parties.keys_of(&others),
        });
        parties.extension(node, "approveExtension", json!([self.management, accept, transaction]))
    }

    fn cancel(&self, node: u16) -> Result<Value, String> {
        let transaction = json!({ "from": self.parties.accounts[usize::from(node)] });
        self.parties.extension(node, "cancelExtension", json!([self.management, transaction]))
    }

    fn status(&self, node: u16) -> Result<Value, String> {
        self.parties.extension(node, "getExtensionStatus", json!([self.management]))
    }

    fn wait_for_status(&self, node: u16, expected: &str) {
        wait_for(expected, PATIENCE, || (self.status(node).ok()? == json!(expected)).then_some(()));
    }

    /// Waits for the vote that the initiator's node casts by itself.
    fn wait_for_own_vote(&self) {
        wait_for("the initiator's vote", PATIENCE, || {
            let filter = json!([{ "fromBlock": "0x0", "address": self.management }]);
            let logs = self.parties.ask(1, "eth_getLogs", filter).ok()?;
            (logs.as_array()?.len() >= 2).then_some(())
        });
    }
}

fn terms_of(parties: &Parties, flag: u64) -> Value {
    match flag {
        2 => json!({ "privacyFlag": 2, "mandatoryFor": [parties.key(2)] }),
        _ => json!({ "privacyFlag": flag }),
    }
}

#[test]
fn a_contract_of_each_flag_is_extended_and_used_by_the_new_party() {
    let parties = Parties::start(|_| {});
    for flag in 0..4 {
        let terms = terms_of(&parties, flag);
        let (_, contract) = parties.create((0, 2), &random_word(), terms.clone());
        let word = random_word();
        let hash = parties.send((0, &[2]), &contract, &word, terms.clone()).expect("sent");
        parties.receipt(0, &hash);
        let before = parties.storage_root(0, &contract).expect("a root");
        parties.storage_root(1, &contract).expect_err("no party yet");

        let request = parties.request(&contract);
        assert_eq!(request.status(0), Ok(json!("ACTIVE")), "flag {flag}");
        for node in [0, 1] {
            let active = parties.extension(node, "activeExtensionContracts", json!([]));
            let active = active.expect("a list");
            let own = active.as_array().expect("a list").first().expect("one").clone();
            let checksummed = |value: &Value| value.as_str().expect("text").to_lowercase();
            assert_eq!(checksummed(&own["contractExtended"]), checksummed(&contract));
            assert_eq!(checksummed(&own["recipient"]), checksummed(&json!(parties.accounts[1])));
            assert_eq!(own["recipientPtmKey"], parties.key(1));
        }
        let hash = request.vote(1, true).expect("a vote");
        assert_eq!(parties.receipt(1, &hash)["status"], "0x1");
        request.wait_for_status(0, "DONE");
        request.wait_for_status(1, "DONE");

        assert_eq!(parties.storage_root(1, &contract), Ok(before.clone()), "flag {flag}");
        assert_eq!(parties.storage_root(0, &contract), Ok(before), "flag {flag}");
        assert_eq!(parties.stored(1, &contract), json!(word), "flag {flag}");
        assert_eq!(parties.stored(3, &contract), json!("0x"), "flag {flag}");
        let filter = json!([{ "fromBlock": "0x0", "address": contract }]);
        assert_eq!(parties.ask(1, "eth_getLogs", filter), Ok(json!([])), "no history");
        if flag > 0 {
            let told =
                |node| parties.ask(node, "eth_getContractPrivacyMetadata", json!([contract]));
            let told = [told(0), told(1), told(2)].map(|told| told.expect("terms"));
            assert_eq!(told[0], told[1], "flag {flag}");
            assert_eq!(told[0], told[2], "flag {flag}");
            assert_eq!(told[0]["privacyFlag"], json!(flag));
        }

        // The new party sends, an old one answers; all three have the same state.
        for (from, to) in [(1, [0, 2]), (2, [0, 1])] {
            let word = random_word();
            let hash = wait_for("the new party's send", PATIENCE, || {
                parties.send((from, &to), &contract, &word, terms.clone()).ok()
            });
            for node in 0..3 {
                assert_eq!(parties.receipt(node, &hash)["status"], "0x1", "flag {flag}");
                assert_eq!(parties.stored(node, &contract), json!(word), "flag {flag}");
            }
            let root = parties.storage_root(0, &contract);
            assert!(root.is_ok());
            assert_eq!(parties.storage_root(1, &contract), root, "flag {flag}");
            assert_eq!(parties.storage_root(2, &contract), root, "flag {flag}");
        }
        if flag > 0 {
            let again = parties.extend(&contract).expect_err("a party already");
            assert!(again.contains("a party to the contract already"), "{again}");
        }
    }
}

#[test]
fn what_may_not_be_is_refused_with_a_reason_and_changes_nothing() {
    let parties = Parties::start(|_| {});
    let (_, contract) = parties.create((0, 2), &random_word(), json!({ "privacyFlag": 3 }));
    let refused = |result: Result<Value, String>, reason: &str| {
        let refusal = result.expect_err(reason);
        assert!(refusal.contains(reason), "{refusal}, expected {reason}");
    };
    let unknown = json!("0x00000000000000000000000000000000000000aa");
    refused(parties.extend(&unknown), "non-existent private contract");
    refused(parties.extend(&json!(parties.accounts[0])), "extending a public contract");
    let by_other =
        json!([contract, parties.key(1), parties.accounts[1], { "from": parties.accounts[2] }]);
    refused(parties.extension(2, "extendContract", by_other), "operation not allowed");
    refused(parties.extension(0, "getExtensionStatus", json!([unknown])), "no contract code");

    // Nobody but the two votes, each once; without all votes nothing is shared.
    let request = parties.request(&contract);
    refused(parties.extend(&contract), "contract extension in progress");
    request.wait_for_own_vote();
    refused(request.vote(0, true), "already voted");
    refused(request.vote(2, true), "account is not acceptor of this extension request");
    refused(request.vote(3, true), "no contract code at given address");
    refused(request.cancel(1), "not the creator of this extension request");
    assert_eq!(request.status(0), Ok(json!("ACTIVE")));
    parties.storage_root(1, &contract).expect_err("nothing is shared yet");

    // Cancelled, then accepted.
    let hash = request.cancel(0).expect("cancelled");
    parties.receipt(1, &hash);
    assert_eq!(request.status(1), Ok(json!("DONE")));
    refused(request.vote(1, true), "nothing to accept");
    refused(request.cancel(0), "nothing to cancel");

    // Declined, then accepted.
    let request = parties.request(&contract);
    request.wait_for_own_vote();
    let hash = request.vote(1, false).expect("a vote");
    [0, 1].into_iter().for_each(|node| drop(parties.receipt(node, &hash)));
    assert_eq!(request.status(1), Ok(json!("DONE")));
    refused(request.vote(1, true), "nothing to accept");
    parties.storage_root(1, &contract).expect_err("nothing was shared");
    assert_eq!(parties.extension(0, "activeExtensionContracts", json!([])), Ok(json!([])));
    assert_eq!(request.contract, contract);
}

#[test]
fn an_initiator_that_dies_goes_on_where_it_was() {
    let mut parties = Parties::start(|_| {});
    let (_, contract) = parties.create((0, 2), &random_word(), json!({ "privacyFlag": 1 }));
    let management = {
        let request = parties.request(&contract);
        request.wait_for_own_vote();
        request.management
    };
    parties.network.kill(0);
    let transaction = json!({ "from": parties.accounts[1], "privateFor": [parties.key(0)] });
    let vote = |parties: &Parties| {
        parties.extension(1, "approveExtension", json!([management, true, transaction]))
    };
    let away = vote(&parties).expect_err("the initiator is away");
    assert!(away.contains(parties.key(0)), "{away}");
    parties.network.restart(0);
    parties.wait_for_keys(1);
    wait_for("a vote", PATIENCE, || vote(&parties).ok());
    parties.network.kill(0);
    parties.network.restart(0);
    wait_for("DONE", PATIENCE, || {
        let status = parties.extension(1, "getExtensionStatus", json!([management])).ok()?;
        (status == json!("DONE")).then_some(())
    });
    assert_eq!(parties.storage_root(1, &contract), parties.storage_root(0, &contract));
    assert!(parties.storage_root(1, &contract).is_ok());
}
