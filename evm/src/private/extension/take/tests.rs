use super::*;
use crate::{code_cache::CodeCache, testing::MemoryState};
use alloy_primitives::{B256, B512, Bytes, LogData, keccak256};
use alloy_trie::TrieAccount;
use entente_chain::{
    Account, BlockNumber, StateChanges, StateReader,
    private::{PrivacyTerms, PrivatePayloads},
};

const MANAGEMENT: Address = Address::repeat_byte(0x33);
const CONTRACT: Address = Address::repeat_byte(0x44);

fn key(byte: u8) -> RecipientKey {
    RecipientKey([byte; 32])
}

fn hash(byte: u8) -> PayloadHash {
    PayloadHash(B512::repeat_byte(byte))
}

fn dump() -> ContractDump {
    ContractDump {
        address: CONTRACT,
        nonce: 1,
        code: Bytes::from_static(&[0x60, 0]),
        storage: [(U256::from(1), U256::from(7))].into(),
    }
}

/// A node with the key 1 whose private state is `state`.
struct World {
    state: Private,
    public: MemoryState,
    payloads: BTreeMap<PayloadHash, Resolution>,
    terms: BTreeMap<Address, ContractTerms>,
}

struct Private {
    memory: MemoryState,
    terms: Option<ContractTerms>,
}

impl StateReader for Private {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.memory.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.memory.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.memory.code(hash)
    }

    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError> {
        self.memory.block_hash(number)
    }
}

impl PrivateState for Private {
    fn terms(&self, contract: Address) -> Result<Option<ContractTerms>, StateError> {
        Ok(self.terms.clone().filter(|_| contract == CONTRACT))
    }

    fn leaves_after(
        &self,
        _: Arc<StateChanges>,
        _: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        Err(StateError::Database { block: 0, cause: "not asked for".to_owned() })
    }
}

struct Payloads<'a>(&'a BTreeMap<PayloadHash, Resolution>);

impl PrivatePayloads for Payloads<'_> {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        self.0.get(&hash).cloned().unwrap_or(Resolution::NotParty)
    }
}

impl PrivateStates for Payloads<'_> {
    fn states_of(&self, managed: &[RecipientKey]) -> Vec<PrivateStateId> {
        let own = managed.contains(&key(1));
        own.then(PrivateStateId::default_state).into_iter().collect()
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
        number: BlockNumber,
    ) -> Result<Arc<dyn PrivateState>, StateError> {
        Err(StateError::Database { block: number, cause: "not asked for".to_owned() })
    }
}

fn payload(sender: u8, parties: &[u8], plain: &[u8], terms: PrivacyTerms) -> Resolution {
    let parties: Vec<_> = parties.iter().map(|byte| key(*byte)).collect();
    let managed = parties.iter().copied().filter(|party| *party == key(1)).collect();
    let (sender, plain) = (key(sender), plain.to_vec().into());
    Resolution::Party(Arc::new(PrivatePayload { plain, sender, managed, parties, terms }))
}

fn management(memory: MemoryState) -> MemoryState {
    let code_hash = super::super::management::CODE_HASH;
    let mut memory = memory;
    memory.accounts.insert(MANAGEMENT, Account { nonce: 1, balance: U256::ZERO, code_hash });
    memory
}

fn shared_by(emitter: Address, state: PayloadHash, uuid: PayloadHash) -> Log {
    use super::super::abi::{Argument, encode};
    let (state, uuid) = (state.to_string(), hex::encode_prefixed(uuid.0));
    let arguments = [Argument::Address(CONTRACT), Argument::Text(&state), Argument::Text(&uuid)];
    let topic = keccak256("StateShared(address,string,string)");
    let data = LogData::new_unchecked(vec![topic], encode(&arguments).into());
    Log { address: emitter, data }
}

fn shared(uuid: u8) -> Log {
    shared_by(MANAGEMENT, hash(0xd0), hash(uuid))
}

/// Consent of this node, and what the key 9 shares.
const OURS: u8 = 0xa1;

impl World {
    fn new(terms: PrivacyTerms) -> Self {
        let payloads = BTreeMap::from([
            (hash(OURS), payload(1, &[1, 9], MANAGEMENT.as_slice(), PrivacyTerms::default())),
            (hash(0xd0), payload(9, &[1, 2, 9], &dump().encode(), terms)),
        ]);
        let state = Private { memory: management(MemoryState::default()), terms: None };
        let public = MemoryState::default();
        Self { state, public, payloads, terms: BTreeMap::new() }
    }

    /// A party to the contract already, under these terms.
    fn party(known: Option<ContractTerms>, terms: PrivacyTerms) -> Self {
        let mut world = Self::new(terms);
        let memory = management(MemoryState::default().contract(CONTRACT, &[0x60, 0], 0));
        world.state = Private { memory, terms: known };
        world
    }

    fn take(&mut self, logs: &[Log]) -> Result<StateChanges, BlockError> {
        let codes = CodeCache::new();
        let mut state = BlockState::new(&self.state, &codes);
        let mut public = BlockState::new(&self.public, &codes);
        let mut extending = Extending {
            node: &Payloads(&self.payloads),
            id: &PrivateStateId::default_state(),
            enhanced: true,
            reader: &self.state,
            state: &mut state,
            public: &mut public,
            terms: &mut self.terms,
        };
        extending.take(logs)?;
        Ok(state.into_changes())
    }

    fn nothing_happens(&mut self, logs: &[Log]) {
        let changes = self.take(logs).unwrap();
        assert!(changes.accounts.is_empty());
        assert!(self.terms.is_empty());
    }
}

fn of_flag(flag: PrivacyFlag) -> PrivacyTerms {
    let validates = flag == PrivacyFlag::StateValidation;
    PrivacyTerms {
        flag,
        affected: if validates { Vec::new() } else { vec![hash(0xc0)] },
        execution_root: validates.then(|| dump().storage_root()),
        mandatory: match flag {
            PrivacyFlag::MandatoryRecipients => vec![key(2)],
            _ => Vec::new(),
        },
    }
}

const FLAGS: [PrivacyFlag; 3] =
    [PrivacyFlag::PartyProtection, PrivacyFlag::MandatoryRecipients, PrivacyFlag::StateValidation];

fn known(flag: PrivacyFlag) -> ContractTerms {
    ContractTerms { creation: hash(0xc0), flag, mandatory: of_flag(flag).mandatory }
}

#[test]
fn the_new_party_gets_account_code_storage_and_terms() {
    for flag in FLAGS {
        let mut world = World::new(of_flag(flag));
        let changes = world.take(&[shared(0xbb), shared(OURS)]).unwrap();
        let change = &changes.accounts[&CONTRACT];
        let after = change.after.unwrap();
        assert_eq!((after.nonce, after.code_hash), (1, dump().code_hash()));
        assert_eq!(change.storage, [(U256::from(1), (U256::ZERO, U256::from(7)))].into());
        assert_eq!(changes.code[&dump().code_hash()], dump().code);
        let expected = ContractTerms { creation: hash(0xd0), ..known(flag) };
        assert_eq!(world.terms, [(CONTRACT, expected)].into());
    }
    let mut world = World::new(PrivacyTerms::default());
    assert!(world.take(&[shared(OURS)]).unwrap().accounts.contains_key(&CONTRACT));
    assert!(world.terms.is_empty(), "without a flag there are no terms");
}

#[test]
fn a_state_is_not_set_without_our_own_consent() {
    let with = |consent: Resolution| {
        let mut world = World::new(PrivacyTerms::default());
        world.payloads.insert(hash(0xa2), consent);
        world
    };
    let none = PrivacyTerms::default;
    // Nobody's, somebody else's, ours for another request, not ours to read.
    World::new(none()).nothing_happens(&[shared(0xbb)]);
    with(payload(9, &[1, 9], MANAGEMENT.as_slice(), none())).nothing_happens(&[shared(0xa2)]);
    with(payload(1, &[1, 9], CONTRACT.as_slice(), none())).nothing_happens(&[shared(0xa2)]);
    with(Resolution::NotParty).nothing_happens(&[shared(0xa2)]);
}

#[test]
fn only_the_management_contracts_own_events_count() {
    let other = [shared_by(Address::repeat_byte(9), hash(0xd0), hash(OURS))];
    World::new(PrivacyTerms::default()).nothing_happens(&other);
    World::party(Some(known(FLAGS[0])), of_flag(FLAGS[0])).nothing_happens(&other);
}

#[test]
fn a_payload_that_cannot_be_read_now_stops_execution() {
    for missing in [0xd0, OURS] {
        let mut world = World::new(PrivacyTerms::default());
        world.payloads.insert(hash(missing), Resolution::Unavailable("no key".to_owned()));
        let stopped = world.take(&[shared(OURS)]);
        let expected = hash(missing);
        assert!(
            matches!(&stopped, Err(BlockError::PayloadUnavailable { hash, .. }) if *hash == expected),
            "{stopped:?}"
        );
    }
}

#[test]
fn a_state_with_another_root_than_its_sender_had_is_not_taken() {
    let wrong = PrivacyTerms { execution_root: Some(B256::ZERO), ..of_flag(FLAGS[2]) };
    World::new(wrong).nothing_happens(&[shared(OURS)]);
}

#[test]
fn what_is_no_state_or_another_contracts_is_not_taken() {
    for plain in [vec![1, 2, 3], ContractDump { address: MANAGEMENT, ..dump() }.encode()] {
        let mut world = World::new(PrivacyTerms::default());
        world.payloads.insert(hash(0xd0), payload(9, &[1, 9], &plain, PrivacyTerms::default()));
        world.nothing_happens(&[shared(OURS)]);
    }
}

#[test]
fn an_account_that_is_there_already_is_not_replaced_by_another() {
    let mut world = World::new(PrivacyTerms::default());
    let memory = MemoryState::default().contract(CONTRACT, &[0x61], 0);
    world.state.memory = management(memory);
    world.nothing_happens(&[shared(OURS)]);
    let mut world = World::new(PrivacyTerms::default());
    world.public = MemoryState::default().contract(CONTRACT, &[0x61], 0);
    world.nothing_happens(&[shared(OURS)]);
}

#[test]
fn a_state_that_is_shared_again_replaces_the_one_before() {
    let mut world = World::party(None, PrivacyTerms::default());
    world.state.memory = std::mem::take(&mut world.state.memory).slot_is(CONTRACT, 5, 1);
    let changes = world.take(&[shared(OURS)]).unwrap();
    let change = &changes.accounts[&CONTRACT];
    assert!(change.storage_wiped, "slots that the new state does not have are gone");
    assert_eq!(change.storage[&U256::from(1)].1, U256::from(7));
}

#[test]
fn what_we_share_ourselves_changes_no_state_of_ours() {
    for flag in FLAGS {
        let mut world = World::party(Some(known(flag)), of_flag(flag));
        let own = payload(1, &[1, 2, 9], &dump().encode(), of_flag(flag));
        let creation = payload(1, &[1, 2], b"code", of_flag(flag));
        world.payloads.extend([(hash(0xd0), own), (hash(0xc0), creation)]);
        let changes = world.take(&[shared(OURS)]).unwrap();
        assert!(changes.accounts.is_empty());
        assert_eq!(world.terms[&CONTRACT].creation, hash(0xd0));
    }
}

#[test]
fn the_terms_of_other_parties_follow_a_party_only() {
    for flag in FLAGS {
        let mut world = World::party(Some(known(flag)), of_flag(flag));
        world.payloads.insert(hash(0xc0), payload(9, &[1, 9], b"code", of_flag(flag)));
        assert!(world.take(&[shared(0xbb)]).unwrap().accounts.is_empty());
        let expected = ContractTerms { creation: hash(0xd0), ..known(flag) };
        assert_eq!(world.terms, [(CONTRACT, expected)].into());

        // Terms that do not fit.
        let other_flag = PrivacyTerms { flag: PrivacyFlag::Standard, ..PrivacyTerms::default() };
        World::party(Some(known(flag)), other_flag).nothing_happens(&[shared(0xbb)]);
    }
    // An outsider can name no creation and stands in no list.
    for flag in FLAGS {
        let outside = PrivacyTerms { affected: Vec::new(), ..of_flag(flag) };
        let mut world = World::party(Some(known(flag)), outside);
        world.payloads.insert(hash(0xc0), payload(2, &[1, 2], b"code", of_flag(flag)));
        world.nothing_happens(&[shared(0xbb)]);
    }
    // A party that was left out of the list would be shut out.
    let mut world = World::party(Some(known(FLAGS[2])), of_flag(FLAGS[2]));
    world.payloads.insert(hash(0xc0), payload(9, &[1, 5, 9], b"code", of_flag(FLAGS[2])));
    world.nothing_happens(&[shared(0xbb)]);
}
