//! Whether the parties of a private contract have the same private state: each says, signed, what a
//! private transaction did, and compares. A difference is told in the block in which it arises.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Decodable as _, Encodable as _, RlpDecodable, RlpEncodable};
use crossbeam_channel::{Receiver, Sender};
use entente_chain::{
    BlockNumber, EnvironmentId, NodeId, RecoveredBlock,
    private::{
        PayloadHash, PrivatePayload, PrivateReceipt, PrivateReceipts, PrivateStateId, RecipientKey,
    },
};
use entente_p2p::{NodeKey, is_signed_by};
use entente_privacy::Privacy;
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

/// What a party says a private transaction did.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Statement {
    environment: B256,
    block: B256,
    number: u64,
    transaction: B256,
    payload: PayloadHash,
    /// Over status, logs, and the contracts that took part as they stand after the block.
    outcome: B256,
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
    [b"entente private receipt 1", statement].concat()
}

impl SignedStatement {
    fn new(statement: &Statement, key: &NodeKey) -> Self {
        let statement = alloy_rlp::encode(statement);
        let signature = key.sign(&signing_input(&statement));
        Self { statement: statement.into(), node: key.node_id().0.into(), signature }
    }

    /// What it says, if its signature is good.
    fn read(mut bytes: &[u8]) -> Option<Statement> {
        let signed = Self::decode(&mut bytes).ok()?;
        let node = NodeId(signed.node.0);
        let good = is_signed_by(node, &signing_input(&signed.statement), &signed.signature);
        (bytes.is_empty() && good)
            .then(|| Statement::decode(&mut signed.statement.as_ref()).ok())
            .flatten()
    }
}

/// How one contract stands.
#[derive(Clone, Debug)]
struct ContractAgreement {
    number: BlockNumber,
    transaction: B256,
    payload: PayloadHash,
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
                "blockNumber": contract.number,
                "transactionHash": contract.transaction,
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
            let quiet = known.contracts.iter().min_by_key(|(_, contract)| contract.number);
            let Some(quiet) = quiet.map(|(key, _)| key.clone()) else { break };
            known.contracts.remove(&quiet);
        }
    }

    /// A party has said what a transaction did there.
    pub(crate) fn arrived(&self, privacy: &Privacy, payload: PayloadHash, party: RecipientKey) {
        let said = match privacy.receipts(payload) {
            Ok(said) => said,
            Err(error) => {
                tracing::error!(%error, "private receipts cannot be read");
                return;
            }
        };
        let own_keys = privacy.keys();
        let read = |bytes: &Vec<u8>| SignedStatement::read(bytes);
        let own = said.iter().find(|(key, _)| own_keys.contains(key));
        let theirs = said.iter().find(|(key, _)| *key == party);
        let Some((_, theirs)) = theirs else { return };
        let Some(theirs) = read(theirs) else {
            tracing::warn!(%party, "a private receipt is not signed by its node");
            return;
        };
        let Some(own) = own.and_then(|(_, bytes)| read(bytes)) else { return };
        if (own.block, own.transaction) == (theirs.block, theirs.transaction) {
            self.compare(&own, &theirs, payload, party);
        }
    }

    fn compare(
        &self,
        own: &Statement,
        theirs: &Statement,
        payload: PayloadHash,
        party: RecipientKey,
    ) {
        let equal = own.outcome == theirs.outcome;
        let mut known = self.locked();
        let mut states = BTreeSet::new();
        let of_payload = known.contracts.iter_mut().filter(|(_, known)| known.payload == payload);
        for ((state, _), contract) in of_payload {
            let (into, from) = match equal {
                true => (&mut contract.agree, &mut contract.differ),
                false => (&mut contract.differ, &mut contract.agree),
            };
            from.remove(&party);
            if into.insert(party) && !equal {
                states.insert(state.clone());
            }
        }
        for state in states {
            tracing::error!(
                number = own.number,
                transaction = %own.transaction,
                %party,
                "private states differ: this party has another result"
            );
            metrics::counter!("entente_private_disagreements_total").increment(1);
            let alarm = json!({
                "blockNumber": own.number,
                "blockHash": own.block,
                "transactionHash": own.transaction,
                "party": party,
                "ours": own.outcome,
                "theirs": theirs.outcome,
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
        let payload = privacy.receive(hash)?;
        let outcome = self.outcome(block.header.number, id, receipt)?;
        let statement = Statement {
            environment: self.environment.0,
            block: block.hash(),
            number: block.header.number,
            transaction,
            payload: hash,
            outcome,
        };
        self.desk.agreements.remember(
            id,
            &receipt.affected,
            &ContractAgreement {
                number: block.header.number,
                transaction,
                payload: hash,
                others: others(&payload),
                agree: BTreeSet::new(),
                differ: BTreeSet::new(),
            },
        );
        let signed = alloy_rlp::encode(SignedStatement::new(&statement, &self.key));
        self.desk.perform(privacy.send_receipt(hash, &signed.into())?);
        // Some may have been faster.
        for (party, _) in privacy.receipts(hash)? {
            if !payload.managed.contains(&party) {
                self.desk.agreements.arrived(privacy, hash, party);
            }
        }
        Ok(())
    }

    /// What the transaction did, as one hash.
    fn outcome(
        &self,
        number: BlockNumber,
        id: &PrivateStateId,
        receipt: &PrivateReceipt,
    ) -> anyhow::Result<B256> {
        let store =
            self.states.store(id).ok_or_else(|| StoreError::UnknownPrivateState(id.clone()))?;
        let leaves = store.leaves_after(number, Arc::default(), &receipt.affected)?;
        let mut bytes = Vec::new();
        receipt.success.encode(&mut bytes);
        receipt.logs.encode(&mut bytes);
        for (address, leaf) in receipt.affected.iter().zip(leaves) {
            address.encode(&mut bytes);
            leaf.unwrap_or_default().encode(&mut bytes);
        }
        Ok(keccak256(bytes))
    }
}

fn others(payload: &PrivatePayload) -> BTreeSet<RecipientKey> {
    payload.parties.iter().filter(|key| !payload.managed.contains(key)).copied().collect()
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

    fn statement() -> Statement {
        Statement {
            environment: B256::repeat_byte(1),
            block: B256::repeat_byte(2),
            number: 7,
            transaction: B256::repeat_byte(3),
            payload: PayloadHash(B512::repeat_byte(4)),
            outcome: B256::repeat_byte(5),
        }
    }

    #[test]
    fn a_statement_is_read_only_with_its_signature() {
        let key = NodeKey::new(zeroize::Zeroizing::new([9; 32]));
        let signed = alloy_rlp::encode(SignedStatement::new(&statement(), &key));
        assert_eq!(SignedStatement::read(&signed), Some(statement()));
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert_eq!(SignedStatement::read(&changed), None, "byte {at}");
        }
    }

    #[test]
    fn a_difference_is_told_once_and_a_correction_clears_it() {
        let agreements = Agreements::default();
        let id = PrivateStateId::default_state();
        let (address, party) = (Address::repeat_byte(1), RecipientKey([8; 32]));
        let payload = statement().payload;
        let contract = ContractAgreement {
            number: 7,
            transaction: statement().transaction,
            payload,
            others: BTreeSet::from([party]),
            agree: BTreeSet::new(),
            differ: BTreeSet::new(),
        };
        agreements.remember(&id, &[address], &contract);
        assert_eq!(agreements.contracts(&id)[0]["silent"][0], party.to_string());
        let other = Statement { outcome: B256::ZERO, ..statement() };
        for _ in 0..2 {
            agreements.compare(&statement(), &other, payload, party);
        }
        assert_eq!(agreements.alarms(&id).len(), 1);
        assert_eq!(agreements.contracts(&id)[0]["differ"][0], party.to_string());
        agreements.compare(&statement(), &statement(), payload, party);
        assert_eq!(agreements.contracts(&id)[0]["agree"][0], party.to_string());
        assert_eq!(agreements.contracts(&id)[0]["differ"], json!([]));
    }
}
