use super::*;
use crate::{
    BuildRequest, Executor, Room, SkipReason, TransactionSource,
    testing::{MemoryState, parent, spec, template},
};
use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{B256, B512, Bytes, Signature, TxKind, U256, keccak256};
use alloy_trie::TrieAccount;
use entente_chain::{
    Account, BlockNumber, RecoveredTransaction, StateError, StateReader,
    fork::Fork,
    private::{
        PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, PrivatePayloads, PrivateState,
        PrivateStates, RecipientKey, Resolution,
    },
    spec::EngineKind,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

const ALICE: Address = Address::repeat_byte(0xa1);
const MALLORY: Address = Address::repeat_byte(0xee);
/// Private.
const INSIDE: Address = Address::repeat_byte(0x11);
/// Public.
const OUTSIDE: Address = Address::repeat_byte(0x77);

/// sstore(0, caller)
const KEEPS_CALLER: [u8; 4] = [0x33, 0x5f, 0x55, 0x00];

/// A node that is a party to one payload, and its private state.
#[derive(Clone)]
struct Node {
    state: Arc<MemoryState>,
    payload: Arc<PrivatePayload>,
    terms: Option<ContractTerms>,
}

impl StateReader for Node {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.state.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.state.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.state.block_hash(number)
    }
}

impl PrivateState for Node {
    fn terms(&self, _: Address) -> Result<Option<ContractTerms>, StateError> {
        Ok(self.terms.clone())
    }

    fn leaves_after(
        &self,
        _: Arc<StateChanges>,
        _: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        Err(StateError::Database { block: 0, cause: "not asked for".to_owned() })
    }
}

impl PrivatePayloads for Node {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        match hash == the_hash() {
            true => Resolution::Party(Arc::clone(&self.payload)),
            false => Resolution::NotParty,
        }
    }
}

impl PrivateStates for Node {
    fn states_of(&self, _: &[RecipientKey]) -> Vec<PrivateStateId> {
        vec![PrivateStateId::default_state()]
    }

    fn public_leaves_after(
        &self,
        _: BlockNumber,
        _: Arc<StateChanges>,
        _: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        Err(StateError::Database { block: 0, cause: "not asked for".to_owned() })
    }

    fn state_at(
        &self,
        _: &PrivateStateId,
        _: BlockNumber,
    ) -> Result<Arc<dyn PrivateState>, StateError> {
        Ok(Arc::new(self.clone()))
    }
}

struct Queue(VecDeque<Arc<RecoveredTransaction>>);

impl TransactionSource for Queue {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.0.pop_front()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        panic!("{hash}: {reason:?}");
    }
}

fn the_hash() -> PayloadHash {
    PayloadHash(B512::repeat_byte(0x5a))
}

fn creation() -> PayloadHash {
    PayloadHash(B512::repeat_byte(0x5b))
}

fn node(state: MemoryState, flag: PrivacyFlag) -> Node {
    let key = RecipientKey([1; 32]);
    let is_standard = flag == PrivacyFlag::Standard;
    let mandatory: Vec<_> =
        (flag == PrivacyFlag::MandatoryRecipients).then_some(key).into_iter().collect();
    let terms = PrivacyTerms {
        flag,
        affected: (!is_standard).then(creation).into_iter().collect(),
        mandatory: mandatory.clone(),
        ..PrivacyTerms::default()
    };
    let payload = PrivatePayload {
        plain: vec![1].into(),
        sender: key,
        managed: vec![key],
        parties: vec![key],
        terms,
    };
    let terms = ContractTerms { creation: creation(), flag, mandatory };
    Node {
        state: Arc::new(state),
        payload: Arc::new(payload),
        terms: (!is_standard).then_some(terms),
    }
}

/// A private transaction that stands for the payload.
fn private(sender: Address, to: Address) -> Arc<RecoveredTransaction> {
    let legacy = TxLegacy {
        chain_id: Some(1),
        gas_limit: 10_000_000,
        to: TxKind::Call(to),
        input: the_hash().0.into(),
        ..TxLegacy::default()
    };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    Arc::new(RecoveredTransaction::with_sender(legacy.into_signed(signature).into(), sender))
}

/// What a block of private transactions does in the node's private state; in public it does nothing.
fn run(
    node: Node,
    public: &MemoryState,
    transactions: Vec<Arc<RecoveredTransaction>>,
) -> PrivateExecuted {
    let mut spec = spec(EngineKind::Qbft, Fork::Shanghai);
    spec.is_quorum = true;
    spec.genesis_rules.privacy_enhancements = true;
    let executor = Executor::new(Arc::new(spec)).with_private_states(Arc::new(node));
    let template = template(Fork::Shanghai);
    let request = BuildRequest {
        author: template.beneficiary,
        template,
        parent: &parent(),
        time_limit: Duration::from_secs(60),
    };
    let mut queue = Queue(transactions.into());
    let mut executed = executor.build(request, public, &mut queue).unwrap().executed;
    for (address, change) in &executed.changes.accounts {
        assert!(change.storage.is_empty(), "{address}");
    }
    assert_eq!(executed.private.len(), 1);
    executed.private.remove(0)
}

/// Slot 0 of the private contract after the block.
fn kept(executed: &PrivateExecuted) -> Option<U256> {
    let change = executed.changes.accounts.get(&INSIDE)?;
    change.storage.get(&U256::ZERO).map(|(_, after)| *after)
}

/// GoQuorum does the same (core/state_transition.go): the sealed payload does not say which account
/// will stand for it, so contracts must ask who calls.
#[test]
fn a_copied_hash_runs_the_payload_in_the_name_of_whoever_sends_it() {
    for flag in
        [PrivacyFlag::Standard, PrivacyFlag::PartyProtection, PrivacyFlag::MandatoryRecipients]
    {
        let state = MemoryState::default().contract(INSIDE, &KEEPS_CALLER, 0);
        let sent = vec![private(ALICE, INSIDE), private(MALLORY, INSIDE)];
        let executed = run(node(state, flag), &MemoryState::default(), sent);
        let results: Vec<_> =
            executed.receipts.iter().map(|one| (one.success, one.refused.as_str())).collect();
        assert_eq!(results, [(true, ""); 2], "{flag:?}");
        assert_eq!(kept(&executed), Some(U256::from_be_slice(MALLORY.as_slice())), "{flag:?}");
    }
}

/// Calls an address with 32768 gas; then sstore(0, success + 1).
fn calls(address: Address) -> Vec<u8> {
    let mut code = vec![0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x73];
    code.extend_from_slice(address.as_slice());
    code.extend([0x61, 0x80, 0x00, 0xf1, 0x60, 0x01, 0x01, 0x5f, 0x55, 0x00]);
    code
}

#[test]
fn private_code_cannot_write_to_a_public_contract() {
    let standard = |state| node(state, PrivacyFlag::Standard);
    let inside = || MemoryState::default().contract(INSIDE, &calls(OUTSIDE), 0);
    let public = MemoryState::default().contract(OUTSIDE, &KEEPS_CALLER, 0);
    let executed = run(standard(inside()), &public, vec![private(ALICE, INSIDE)]);
    assert_eq!(kept(&executed), Some(U256::from(1)), "the call failed");
    assert!(!executed.changes.accounts.contains_key(&OUTSIDE));
    // The same call of a private contract is good.
    let state = inside().contract(OUTSIDE, &KEEPS_CALLER, 0);
    let executed = run(standard(state), &MemoryState::default(), vec![private(ALICE, INSIDE)]);
    assert_eq!(kept(&executed), Some(U256::from(2)));
}

#[test]
fn a_private_contract_cannot_be_written_to_by_way_of_a_public_one() {
    // call(INSIDE); revert where it failed
    let mut code = calls(INSIDE);
    code.truncate(code.len() - 6);
    code.extend([0x60, 36, 0x57, 0x5f, 0x5f, 0xfd, 0x5b, 0x00]);
    assert_eq!(code.get(36), Some(&0x5b), "where the jump goes");
    let public = MemoryState::default().contract(OUTSIDE, &code, 0);
    // stop
    for (inside, good) in [(&KEEPS_CALLER[..], false), (&[0x00], true)] {
        let state = MemoryState::default().contract(INSIDE, inside, 0);
        let node = node(state, PrivacyFlag::Standard);
        let executed = run(node, &public, vec![private(ALICE, OUTSIDE)]);
        assert_eq!(executed.receipts[0].success, good);
        assert_eq!(kept(&executed), None);
    }
}

#[test]
fn a_private_creation_does_not_take_the_address_of_a_public_contract() {
    // sstore(0, iszero(create2(0, 0, 0, 0)) + 1)
    let code = [0x5f, 0x5f, 0x5f, 0x5f, 0xf5, 0x15, 0x60, 0x01, 0x01, 0x5f, 0x55, 0x00];
    let state = || node(MemoryState::default().contract(INSIDE, &code, 0), PrivacyFlag::Standard);
    let place = INSIDE.create2(B256::ZERO, keccak256([]));
    let taken = MemoryState::default().contract(place, &KEEPS_CALLER, 0);
    for (public, expected) in [(MemoryState::default(), 1), (taken, 2)] {
        let executed = run(state(), &public, vec![private(ALICE, INSIDE)]);
        assert_eq!(kept(&executed), Some(U256::from(expected)));
        assert_eq!(executed.changes.accounts.contains_key(&place), expected == 1);
    }
}
