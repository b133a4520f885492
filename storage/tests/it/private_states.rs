//! Private states beside a drawn public chain: each is compared with a model of its own at every
//! block, forwards and backwards.

use crate::world::{Model, World, drawn_changes, genesis, last, model_root, options};
use alloy_primitives::{Address, B512, Log, LogData, keccak256};
use entente_chain::{
    StateReader as _,
    private::{ContractTerms, PayloadHash, PrivacyFlag, PrivateReceipt, PrivateStateId},
};
use entente_storage::{
    Database, LogIndexQuery, PrivateCommit, PrivateStates, StorageOptions, StoreError, ValueCipher,
};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

/// Turns every bit around, and puts a mark before: what is on disk is not what was put.
struct Turned(u8);

impl ValueCipher for Turned {
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mark = self.0 ^ key.len() as u8;
        std::iter::once(mark).chain(value.iter().map(|byte| !byte)).collect()
    }

    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (mark, value) = sealed.split_first()?;
        (*mark == self.0 ^ key.len() as u8).then(|| value.iter().map(|byte| !byte).collect())
    }
}

struct PrivateWorld {
    public: World,
    states: PrivateStates,
    /// States by number.
    models: Vec<BTreeMap<PrivateStateId, Model>>,
}

fn ids() -> [PrivateStateId; 2] {
    [PrivateStateId::default_state(), PrivateStateId::new("PS1").unwrap()]
}

/// A private state moves in two blocks of three, each in others.
fn moves(place: usize, number: u64) -> bool {
    !(number + place as u64).is_multiple_of(3)
}

fn private_changes(
    before: &Model,
    place: usize,
    number: u64,
) -> (entente_chain::StateChanges, Model) {
    drawn_changes(before, 1_000 + place as u64, number)
}

fn receipt(number: u64) -> PrivateReceipt {
    let data = LogData::new_unchecked(Vec::new(), keccak256(format!("log {number}")).into());
    let log = Log { address: Address::repeat_byte(0x5a), data };
    PrivateReceipt { index: 1, success: true, logs: vec![log], ..PrivateReceipt::default() }
}

fn contract(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn terms() -> ContractTerms {
    let creation = PayloadHash(B512::repeat_byte(3));
    ContractTerms { creation, flag: PrivacyFlag::StateValidation, mandatory: Vec::new() }
}

/// A contract whose terms every block changes, and its terms after one.
const EXTENDED: Address = Address::repeat_byte(0xee);

fn terms_after(number: u64) -> ContractTerms {
    let creation = PayloadHash(B512::left_padding_from(&number.to_be_bytes()));
    ContractTerms { creation, ..terms() }
}

fn open_states(path: &Path, options: &StorageOptions, mark: u8) -> (Database, PrivateStates) {
    let (genesis, json) = genesis();
    let database = Database::open(path, options).unwrap();
    database.initialise(&genesis, json.as_bytes()).unwrap();
    let states = database.private_states(Arc::new(Turned(mark))).unwrap();
    (database, states)
}

impl PrivateWorld {
    fn open(path: &Path, options: &StorageOptions) -> Self {
        let (database, states) = open_states(path, options, 1);
        for id in ids() {
            states.add(&id).unwrap();
        }
        let writer = database.writer_with(states.clone()).unwrap();
        let public = World::over(database, writer, 0);
        let mut models = vec![BTreeMap::from(ids().map(|id| (id, Model::new())))];
        for number in 1..=public.head() {
            let mut next = models[number as usize - 1].clone();
            for (place, id) in ids().iter().enumerate().filter(|(place, _)| moves(*place, number)) {
                let (_, model) = private_changes(&next[id], place, number);
                next.insert(id.clone(), model);
            }
            models.push(next);
        }
        Self { public, states, models }
    }

    fn commit(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let (mut commit, model) = self.public.next();
            let number = commit.block.header.number;
            let mut next = self.models.last().unwrap().clone();
            for (place, id) in
                ids().into_iter().enumerate().filter(|(place, _)| moves(*place, number))
            {
                let (changes, after) = private_changes(&next[&id], place, number);
                let store = self.states.store(&id).unwrap();
                let trie = store.trie_at_head().unwrap();
                commit.private.push(PrivateCommit {
                    state: store.root_after(&trie, Arc::new(changes)).unwrap(),
                    receipts: vec![receipt(number)],
                    terms: vec![(contract(number), terms()), (EXTENDED, terms_after(number))],
                    id: id.clone(),
                });
                next.insert(id, after);
            }
            self.public.writer.commit(commit).unwrap();
            self.public.models.push(model);
            self.models.push(next);
        }
    }

    /// Compares every state from `oldest` to the head with its model.
    fn check(&self, oldest: u64) {
        for number in oldest..=self.public.head() {
            for (place, id) in ids().iter().enumerate() {
                let model = &self.models[number as usize][id];
                assert_eq!(self.states.root(id, number).unwrap(), Some(model_root(model)));
                let view = self.states.store(id).unwrap().at(number).unwrap();
                for (address, entry) in model {
                    assert_eq!(view.account(*address).unwrap(), Some(entry.account));
                    for (slot, value) in &entry.slots {
                        assert_eq!(view.slot(*address, *slot).unwrap(), *value);
                    }
                }
                let block = self.states.block(id, number).unwrap();
                let expected = (number > 0 && moves(place, number)).then(|| vec![receipt(number)]);
                assert_eq!(block.map(|block| block.receipts), expected);
            }
        }
        let beyond = self.public.head() + 1;
        for id in ids() {
            assert_eq!(self.states.block(&id, beyond).unwrap(), None);
            assert_eq!(self.states.terms(&id, contract(beyond)).unwrap(), None);
        }
    }
}

#[test]
fn every_private_state_of_the_past_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(12);
    world.check(0);
    drop(world);
    PrivateWorld::open(folder.path(), &options()).check(0);
}

#[test]
fn private_states_go_back_with_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(10);
    assert_eq!(world.states.terms(&ids()[0], contract(7)).unwrap(), Some(terms()));
    let extended =
        |world: &PrivateWorld, place: usize| world.states.terms(&ids()[place], EXTENDED).unwrap();
    assert_eq!([0, 1].map(|place| extended(&world, place)), [10, 10].map(|n| Some(terms_after(n))));
    world.public.revert_to(4);
    world.models.truncate(5);
    world.check(0);
    assert_eq!([0, 1].map(|place| extended(&world, place)), [4, 4].map(|n| Some(terms_after(n))));
    assert_eq!(world.states.terms(&ids()[0], contract(7)).unwrap(), None);
    world.commit(9);
    world.check(0);
    drop(world);
    PrivateWorld::open(folder.path(), &options()).check(0);
}

#[test]
fn all_slots_of_an_account_are_read_at_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(10);
    for id in ids() {
        let store = world.states.store(&id).unwrap();
        let mut seen = 0;
        for (address, entry) in &world.models[10][&id] {
            let slots: BTreeMap<_, _> = entry.slots.clone().into_iter().collect();
            seen += slots.len();
            let most = slots.len();
            assert_eq!(store.slots_at_head(*address, most).unwrap(), (10, Some(slots)));
            if most > 0 {
                assert_eq!(store.slots_at_head(*address, most - 1).unwrap(), (10, None));
            }
        }
        assert!(seen > 0);
    }
}

#[test]
fn private_history_is_kept_as_long_as_public_history() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &last(4));
    world.commit(20);
    let oldest = world.public.head() - 4;
    world.check(oldest);
    for id in ids() {
        let store = world.states.store(&id).unwrap();
        assert!(store.at(oldest - 1).is_err());
    }
}

#[test]
fn private_logs_are_found_in_their_blocks_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(6);
    let query = LogIndexQuery { addresses: vec![Address::repeat_byte(0x5a)], topics: Vec::new() };
    for (place, id) in ids().iter().enumerate() {
        let expected: Vec<_> = (1..=6).filter(|number| moves(place, *number)).collect();
        assert_eq!(world.states.blocks_with_logs(id, &query, 0, 99).unwrap(), expected);
    }
    let unknown = PrivateStateId::new("PS2").unwrap();
    assert!(world.states.blocks_with_logs(&unknown, &query, 0, 99).unwrap().is_empty());
}

#[test]
fn another_key_is_noticed_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(PrivateWorld::open(folder.path(), &options()));
    let database = Database::open(folder.path(), &options()).unwrap();
    let refused = database.private_states(Arc::new(Turned(2)));
    assert!(matches!(refused, Err(StoreError::OtherPrivateKey)), "{refused:?}");
    assert!(database.private_states(Arc::new(Turned(1))).is_ok());
}

#[test]
fn a_database_with_private_states_is_not_written_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let (database, states) = open_states(folder.path(), &options(), 1);
    assert!(matches!(database.writer(), Err(StoreError::PrivateStatesKept)));
    assert!(database.writer_with(states).is_ok());
    drop(database);
    // A copy that is thrown away goes on in public.
    let copy = Database::open(folder.path(), &options()).unwrap();
    copy.give_up_private_states().unwrap();
    assert_eq!(copy.has_private_states(), Ok(false));
    assert!(copy.writer().is_ok());
}

#[test]
fn a_commit_for_a_private_state_that_is_not_kept_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(2);
    let (mut commit, _) = world.public.next();
    let store = world.states.store(&ids()[0]).unwrap();
    let trie = store.trie_at_head().unwrap();
    let unknown = PrivateStateId::new("PS9").unwrap();
    commit.private.push(PrivateCommit {
        state: store.root_after(&trie, Arc::default()).unwrap(),
        receipts: Vec::new(),
        terms: Vec::new(),
        id: unknown.clone(),
    });
    let refused = world.public.writer.commit(commit);
    assert!(matches!(&refused, Err(StoreError::UnknownPrivateState(id)) if *id == unknown));
    world.check(0);
}

#[test]
fn values_of_private_states_are_not_on_disk_in_plain() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = PrivateWorld::open(folder.path(), &options());
    world.commit(3);
    drop(world);
    let found = |needle: &[u8]| {
        fs::read_dir(folder.path()).unwrap().flatten().filter(|file| file.path().is_file()).any(
            |file| {
                let bytes = fs::read(file.path()).unwrap();
                bytes.windows(needle.len()).any(|window| window == needle)
            },
        )
    };
    let data = receipt(1).logs[0].data.data.clone();
    let sealed: Vec<u8> = data.iter().map(|byte| !byte).collect();
    assert!(found(&sealed));
    assert!(!found(&data));
}
