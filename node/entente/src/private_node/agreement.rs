//! Whether the parties of a private contract have the same private state: each says, signed, what a
//! private transaction did, and compares. A difference is told in the block in which it arises.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Decodable as _, Encodable as _, RlpDecodable, RlpEncodable};
use crossbeam_channel::{Receiver, Sender};
use entente_chain::{
    BlockNumber, EnvironmentId, NodeId, RecoveredBlock,
    private::{
        PayloadHash, PrivacyFlag, PrivatePayload, PrivateReceipt, PrivateReceipts, PrivateStateId,
        RecipientKey,
    },
};
use entente_evm::contracts_root;
use entente_p2p::{NodeKey, is_signed_by};
use entente_privacy::{Action, Privacy, PrivacyError};
use entente_storage::{PrivateStates, StoreError};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Contracts whose agreement is remembered; the ones that were quiet longest go first.
const CONTRACTS_MAX: usize = 4096;
/// Alarms that are remembered.
const ALARMS_MAX: usize = 64;
/// Blocks that wait to be compared.
const QUEUE: usize = 1024;

/// A private transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Place {
    environment: B256,
    block: B256,
    number: u64,
    transaction: B256,
    payload: PayloadHash,
}

/// What a private transaction did. The root of a whole private state is nobody else's, for each party
/// has other contracts too; so it is that of the contracts that took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Outcome {
    /// Private post-state root: over the contracts that took part, as they stand after the block.
    state_root: B256,
    /// Over status and logs.
    receipt: B256,
}

impl Outcome {
    fn to_json(self) -> Value {
        json!({ "stateRoot": self.state_root, "receiptHash": self.receipt })
    }
}

/// What a party says a private transaction did.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Statement {
    place: Place,
    party: RecipientKey,
    outcome: Outcome,
}

/// A statement with the signature of the node that made it.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct SignedStatement {
    statement: Bytes,
    node: B256,
    signature: Bytes,
}

/// What is signed: the key signs other things too.
fn signing_input(statement: &[u8]) -> Vec<u8> {
    [b"entente private receipt 2", statement].concat()
}

impl SignedStatement {
    fn new(statement: &Statement, key: &NodeKey) -> Self {
        let statement = alloy_rlp::encode(statement);
        let signature = key.sign(&signing_input(&statement));
        Self { statement: statement.into(), node: key.node_id().0.into(), signature }
    }

    /// What it says, if this node signed it.
    fn read(mut bytes: &[u8], node: NodeId) -> Option<Statement> {
        let signed = Self::decode(&mut bytes).ok()?;
        let is_theirs = node == NodeId(signed.node.0);
        let good =
            is_theirs && is_signed_by(node, &signing_input(&signed.statement), &signed.signature);
        (bytes.is_empty() && good)
            .then(|| Statement::decode(&mut signed.statement.as_ref()).ok())
            .flatten()
    }
}

/// How one contract stands.
#[derive(Clone, Debug)]
struct ContractAgreement {
    place: Place,
    /// What we say.
    ours: Outcome,
    others: BTreeSet<RecipientKey>,
    agree: BTreeSet<RecipientKey>,
    differ: BTreeSet<RecipientKey>,
}

#[derive(Default)]
struct Known {
    contracts: BTreeMap<(PrivateStateId, Address), ContractAgreement>,
    alarms: VecDeque<(PrivateStateId, Value)>,
}

/// What is known of the agreement on each contract.
#[derive(Default)]
pub(crate) struct Agreements(Mutex<Known>);

impl Agreements {
    fn locked(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contracts of a private state, for `privacy_status`.
    pub(crate) fn contracts(&self, id: &PrivateStateId) -> Vec<Value> {
        let known = self.locked();
        let own = known.contracts.iter().filter(|((state, _), _)| state == id);
        own.map(|((_, address), contract)| {
            let silent = &(&contract.others - &contract.agree) - &contract.differ;
            json!({
                "address": address,
                "blockNumber": contract.place.number,
                "transactionHash": contract.place.transaction,
                "stateRoot": contract.ours.state_root,
                "agree": contract.agree,
                "differ": contract.differ,
                "silent": silent,
            })
        })
        .collect()
    }

    /// The newest alarms of a private state, newest first.
    pub(crate) fn alarms(&self, id: &PrivateStateId) -> Vec<Value> {
        let known = self.locked();
        let own = known.alarms.iter().rev().filter(|(state, _)| state == id);
        own.map(|(_, alarm)| alarm.clone()).collect()
    }

    /// Remembers what happened here, before others are heard.
    fn remember(&self, id: &PrivateStateId, contracts: &[Address], contract: &ContractAgreement) {
        let mut known = self.locked();
        for address in contracts {
            known.contracts.insert((id.clone(), *address), contract.clone());
        }
        while known.contracts.len() > CONTRACTS_MAX {
            let quiet = known.contracts.iter().min_by_key(|(_, contract)| contract.place.number);
            let Some(quiet) = quiet.map(|(key, _)| key.clone()) else { break };
            known.contracts.remove(&quiet);
        }
    }

    /// Says what a private transaction did in one of our private states, for each key of it that is
    /// a party, and compares that with what others have said already.
    fn say(
        &self,
        privacy: &Privacy,
        (key, own): (&NodeKey, &[RecipientKey]),
        id: &PrivateStateId,
        (place, outcome, contracts): (Place, Outcome, &[Address]),
    ) -> Result<Vec<Action>, PrivacyError> {
        let hash = place.payload;
        let payload = privacy.receive(hash)?;
        let mut actions = Vec::new();
        for party in payload.managed.iter().copied().filter(|party| own.contains(party)) {
            let statement = Statement { place: place.clone(), party, outcome };
            let signed: Bytes = alloy_rlp::encode(SignedStatement::new(&statement, key)).into();
            actions.extend(privacy.send_receipt(hash, party, &signed)?);
        }
        let others = others(&payload, own);
        let (agree, differ) = Default::default();
        let contract = ContractAgreement { place, ours: outcome, others, agree, differ };
        self.remember(id, contracts, &contract);
        // Some may have been faster, and other private states of this node hear it so.
        for (party, said) in privacy.receipts(hash)? {
            self.heard(privacy, hash, (party, &said));
        }
        Ok(actions)
    }

    /// A party has said what a transaction did there.
    pub(crate) fn arrived(&self, privacy: &Privacy, payload: PayloadHash, party: RecipientKey) {
        match privacy.receipts(payload) {
            Ok(said) => {
                let theirs = said.iter().find(|(key, _)| *key == party);
                theirs
                    .into_iter()
                    .for_each(|(_, said)| self.heard(privacy, payload, (party, said)));
            }
            Err(error) => tracing::error!(%error, "private receipts cannot be read"),
        }
    }

    /// Only the node that has a party's key speaks for it: who heard what another one says could
    /// pass it off as its own.
    fn heard(&self, privacy: &Privacy, payload: PayloadHash, (party, said): (RecipientKey, &[u8])) {
        let node = privacy.node_of(&party);
        match node.and_then(|node| SignedStatement::read(said, node)) {
            Some(theirs) if theirs.place.payload == payload && theirs.party == party => {
                self.compare(&theirs);
            }
            _ => tracing::warn!(%party, "a private receipt is not what its node signed"),
        }
    }

    /// Compares with every private state that ran the same transaction in the same block.
    fn compare(&self, theirs: &Statement) {
        let party = theirs.party;
        let mut known = self.locked();
        let mut states = BTreeMap::new();
        for ((state, _), contract) in &mut known.contracts {
            if contract.place != theirs.place || !contract.others.contains(&party) {
                continue;
            }
            let equal = contract.ours == theirs.outcome;
            let (into, from) = match equal {
                true => (&mut contract.agree, &mut contract.differ),
                false => (&mut contract.differ, &mut contract.agree),
            };
            from.remove(&party);
            if into.insert(party) && !equal {
                states.insert(state.clone(), contract.ours);
            }
        }
        let place = &theirs.place;
        for (state, ours) in states {
            tracing::error!(
                number = place.number,
                transaction = %place.transaction,
                %party,
                "private states differ: this party has another result"
            );
            metrics::counter!("entente_private_disagreements_total").increment(1);
            let alarm = json!({
                "blockNumber": place.number,
                "blockHash": place.block,
                "transactionHash": place.transaction,
                "party": party,
                "ours": ours.to_json(),
                "theirs": theirs.outcome.to_json(),
            });
            while known.alarms.len() >= ALARMS_MAX {
                known.alarms.pop_front();
            }
            known.alarms.push_back((state, alarm));
        }
    }
}

/// Where committed blocks are handed in.
#[derive(Clone)]
pub(crate) struct AgreementPort(Sender<(RecoveredBlock, PrivateReceipts)>);

impl AgreementPort {
    /// The port and the end that [`run`] reads.
    pub(crate) fn bounded() -> (Self, Receiver<(RecoveredBlock, PrivateReceipts)>) {
        let (sender, receiver) = crossbeam_channel::bounded(QUEUE);
        (Self(sender), receiver)
    }

    /// Hands in a block with private transactions. Agreement is not consensus: when this falls
    /// behind, blocks are left out of it, and the chain goes on.
    pub(crate) fn committed(&self, block: &RecoveredBlock, private: &PrivateReceipts) {
        if !private.is_empty() && self.0.try_send((block.clone(), private.clone())).is_err() {
            tracing::warn!(number = block.header.number, "private receipts are not compared");
        }
    }
}

/// What says and compares.
pub(crate) struct AgreementWorker {
    pub(crate) desk: Arc<super::PrivateDesk>,
    pub(crate) states: PrivateStates,
    pub(crate) environment: EnvironmentId,
    pub(crate) key: NodeKey,
}

impl AgreementWorker {
    /// Runs until nobody can hand in blocks any more.
    pub(crate) fn run(&self, blocks: &Receiver<(RecoveredBlock, PrivateReceipts)>) {
        for (block, private) in blocks {
            for (id, receipts) in &private {
                for receipt in receipts {
                    if let Err(error) = self.tell(&block, id, receipt) {
                        tracing::warn!(%error, "a private receipt cannot be told");
                    }
                }
            }
        }
    }

    fn tell(
        &self,
        block: &RecoveredBlock,
        id: &PrivateStateId,
        receipt: &PrivateReceipt,
    ) -> anyhow::Result<()> {
        let Some((transaction, hash)) = payload_of(block, receipt) else { return Ok(()) };
        let privacy = &self.desk.privacy;
        let residents = &self.desk.residents;
        let place = Place {
            environment: self.environment.0,
            block: block.hash(),
            number: block.header.number,
            transaction,
            payload: hash,
        };
        let outcome = self.outcome(place.number, id, receipt)?;
        let own: Vec<_> =
            privacy.keys().into_iter().filter(|key| residents.state_of(*key) == *id).collect();
        let said = (place, outcome, receipt.affected.as_slice());
        let actions = self.desk.agreements.say(privacy, (&self.key, &own), id, said)?;
        self.desk.perform(actions);
        Ok(())
    }

    fn outcome(
        &self,
        number: BlockNumber,
        id: &PrivateStateId,
        receipt: &PrivateReceipt,
    ) -> anyhow::Result<Outcome> {
        let store =
            self.states.store(id).ok_or_else(|| StoreError::UnknownPrivateState(id.clone()))?;
        let leaves = store.leaves_after(number, Arc::default(), &receipt.affected)?;
        let state_root = contracts_root(receipt.affected.iter().copied().zip(leaves));
        let mut bytes = Vec::new();
        receipt.success.encode(&mut bytes);
        receipt.logs.encode(&mut bytes);
        Ok(Outcome { state_root, receipt: keccak256(bytes) })
    }
}

/// The other parties, as far as a private state with these keys may know them: to recipients only the
/// sender and those are named that the terms name, and private states of one node are strangers.
fn others(payload: &PrivatePayload, own: &[RecipientKey]) -> BTreeSet<RecipientKey> {
    let terms = &payload.terms;
    let names_all = own.contains(&payload.sender) || terms.flag == PrivacyFlag::StateValidation;
    let is_named = |key: &RecipientKey| {
        names_all
            || *key == payload.sender
            || terms.mandatory.contains(key)
            || !payload.managed.contains(key)
    };
    let parties = payload.parties.iter().copied();
    parties.filter(|key| !own.contains(key) && is_named(key)).collect()
}

/// The public transaction of a receipt, and the payload that it stood for.
fn payload_of(block: &RecoveredBlock, receipt: &PrivateReceipt) -> Option<(B256, PayloadHash)> {
    use alloy_consensus::Transaction as _;
    let transaction = block.transactions().get(usize::try_from(receipt.index).ok()?)?;
    let hash = if receipt.inner.is_empty() {
        PayloadHash::from_data(transaction.input())
    } else {
        let signing = entente_chain::transaction::Signing::Quorum;
        let inner = entente_chain::RecoveredTransaction::decode(receipt.inner.clone(), signing);
        PayloadHash::from_data(inner.ok()?.input())
    };
    Some((transaction.hash(), hash?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;
    use entente_chain::private::PrivacyTerms;
    use entente_privacy::{
        DatabaseCipher, DatabaseKey, PartyKey, PrivacySettings, Randomness, SendRequest,
    };
    use entente_storage::{Database, StorageOptions};
    use zeroize::Zeroizing;

    fn place() -> Place {
        Place {
            environment: B256::repeat_byte(1),
            block: B256::repeat_byte(2),
            number: 7,
            transaction: B256::repeat_byte(3),
            payload: PayloadHash(B512::repeat_byte(4)),
        }
    }

    fn outcome() -> Outcome {
        Outcome { state_root: B256::repeat_byte(5), receipt: B256::repeat_byte(6) }
    }

    fn statement(party: RecipientKey) -> Statement {
        Statement { place: place(), party, outcome: outcome() }
    }

    fn node_key(number: u8) -> NodeKey {
        NodeKey::new(Zeroizing::new([number; 32]))
    }

    #[test]
    fn a_statement_is_read_only_with_the_signature_of_its_node() {
        let key = node_key(9);
        let statement = statement(RecipientKey([8; 32]));
        let signed = alloy_rlp::encode(SignedStatement::new(&statement, &key));
        let read = |bytes: &[u8]| SignedStatement::read(bytes, key.node_id());
        assert_eq!(read(&signed), Some(statement));
        assert_eq!(SignedStatement::read(&signed, node_key(8).node_id()), None, "passed off");
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed), None, "byte {at}");
        }
    }

    #[test]
    fn a_difference_is_told_once_and_a_correction_clears_it() {
        let agreements = Agreements::default();
        let id = PrivateStateId::default_state();
        let (address, party) = (Address::repeat_byte(1), RecipientKey([8; 32]));
        let contract = ContractAgreement {
            place: place(),
            ours: outcome(),
            others: BTreeSet::from([party]),
            agree: BTreeSet::new(),
            differ: BTreeSet::new(),
        };
        agreements.remember(&id, &[address], &contract);
        let now = || agreements.contracts(&id)[0].clone();
        assert_eq!(now()["silent"][0], party.to_string());
        let elsewhere = [
            Place { environment: B256::ZERO, ..place() },
            Place { block: B256::ZERO, ..place() },
            Place { number: 8, ..place() },
            Place { transaction: B256::ZERO, ..place() },
        ];
        for other in elsewhere {
            agreements.compare(&Statement { place: other.clone(), ..statement(party) });
            assert_eq!(now()["silent"][0], party.to_string(), "{other:?}");
        }
        agreements.compare(&statement(RecipientKey([7; 32])));
        assert_eq!(now()["agree"], json!([]), "no party");
        let other = Outcome { state_root: B256::ZERO, ..outcome() };
        for _ in 0..2 {
            agreements.compare(&Statement { outcome: other, ..statement(party) });
        }
        assert_eq!(agreements.alarms(&id).len(), 1);
        assert_eq!(now()["differ"][0], party.to_string());
        agreements.compare(&statement(party));
        assert_eq!(now()["agree"][0], party.to_string());
        assert_eq!(now()["differ"], json!([]));
    }

    /// A node with two private states, the parties of which are all its own.
    struct Node {
        privacy: Privacy,
        agreements: Agreements,
        _folder: tempfile::TempDir,
    }

    fn party(number: u8) -> PartyKey {
        PartyKey::new(Zeroizing::new([number; 32]))
    }

    fn node(parties: &[u8]) -> Node {
        let folder = tempfile::tempdir().expect("folder");
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(folder.path(), &options).expect("a database");
        let randomness = Arc::new(Randomness::from_os().expect("randomness"));
        let database_key = DatabaseKey::new(Zeroizing::new([9; 32]));
        let cipher = DatabaseCipher::new(database_key, "payloads", Arc::clone(&randomness));
        let records = database.private_records(Arc::new(cipher)).expect("records");
        let parties = parties.iter().copied().map(party).collect();
        let names = (EnvironmentId(B256::repeat_byte(1)), node_key(9).node_id());
        let settings = PrivacySettings::default();
        let privacy = Privacy::open(records, parties, names, randomness, &settings).expect("open");
        Node { privacy, agreements: Agreements::default(), _folder: folder }
    }

    #[test]
    fn private_states_of_one_node_that_differ_raise_an_alarm_in_each_for_each_key() {
        let Node { privacy, agreements, _folder } = node(&[1, 2, 3, 4]);
        let [a, b, c, d] = [1, 2, 3, 4].map(|number| party(number).public());
        let request = SendRequest {
            plain: Zeroizing::new(b"payload".to_vec()),
            sender: Some(a),
            recipients: vec![b, c, d],
            terms: PrivacyTerms::default(),
        };
        let (_, sent) = privacy.send(0, &request).expect("sent");
        let hash = sent.into_iter().find_map(|action| match action {
            Action::Finished { result, .. } => Some(result.expect("delivered").hash),
            _ => None,
        });
        let payload = hash.expect("a payload");
        let [first, second, third] =
            ["PS1", "PS2", "PS3"].map(|name| PrivateStateId::new(name).expect("a name"));
        let contract = [Address::repeat_byte(1)];
        let say = |own: &[RecipientKey], id: &PrivateStateId, outcome| {
            let said = (Place { payload, ..place() }, outcome, contract.as_slice());
            agreements.say(&privacy, (&node_key(9), own), id, said).expect("said");
        };
        let (same, other) = (outcome(), Outcome { receipt: B256::ZERO, ..outcome() });
        say(&[a], &first, same);
        say(&[b, c], &second, same);
        let texts = |keys: &[RecipientKey]| {
            let mut keys = keys.to_vec();
            keys.sort_unstable();
            json!(keys)
        };
        assert_eq!(agreements.contracts(&first)[0]["agree"], texts(&[b, c]));
        assert_eq!(agreements.contracts(&first)[0]["silent"], texts(&[d]));
        assert_eq!(agreements.contracts(&second)[0]["agree"], texts(&[a]));
        say(&[d], &third, other);
        assert_eq!(agreements.contracts(&first)[0]["differ"], texts(&[d]));
        assert_eq!(agreements.contracts(&third)[0]["differ"], texts(&[a]));
        assert_eq!(agreements.contracts(&third)[0]["silent"], json!([]), "B and C are strangers");
        assert!(agreements.alarms(&second).is_empty());
        for (state, party, ours) in [(&first, d, same), (&third, a, other)] {
            let alarms = agreements.alarms(state);
            assert_eq!(alarms.len(), 1);
            assert_eq!((&alarms[0]["party"], &alarms[0]["ours"]), (&json!(party), &ours.to_json()));
        }
    }

    #[test]
    fn what_another_node_signed_does_not_count() {
        let Node { privacy, agreements, _folder } = node(&[1, 2]);
        let [a, b] = [1, 2].map(|number| party(number).public());
        let contract = ContractAgreement {
            place: place(),
            ours: outcome(),
            others: BTreeSet::from([b]),
            agree: BTreeSet::new(),
            differ: BTreeSet::new(),
        };
        let id = PrivateStateId::default_state();
        agreements.remember(&id, &[Address::repeat_byte(1)], &contract);
        let heard = |key, (party, says), payload| {
            let said = alloy_rlp::encode(SignedStatement::new(&statement(says), &node_key(key)));
            agreements.heard(&privacy, payload, (party, &said));
            agreements.contracts(&id)[0]["agree"].clone()
        };
        let hash = place().payload;
        assert_eq!(heard(8, (b, b), hash), json!([]), "not the node of B");
        assert_eq!(heard(9, (b, b), PayloadHash(B512::ZERO)), json!([]), "another payload");
        assert_eq!(heard(9, (a, a), hash), json!([]), "A is no party");
        assert_eq!(heard(9, (b, a), hash), json!([]), "signed for A");
        assert_eq!(heard(9, (b, b), hash), json!([b]));
    }
}
