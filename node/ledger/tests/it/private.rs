//! Chains with private transactions that a real GoQuorum network made, taken in as each of its
//! parties: private receipts, storage roots and terms are those that the party's node answered.

use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Decodable;
use alloy_trie::EMPTY_ROOT_HASH;
use entente_chain::{
    Block, BlockBody, RecoveredBlock, RecoveredTransaction, SealedHeader, StateReader,
    genesis::Genesis,
    header_hash::block_hash,
    private::{
        PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, PrivatePayloads, PrivateStateId,
        RecipientKey, Resolution,
    },
};
use entente_evm::Executor;
use entente_ledger::{Ledger, PrivateLedger, Residents};
use entente_storage::{Database, PrivateStates, StorageOptions, ValueCipher};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// Turns bits around and puts the length of the key before them: enough to see that nothing is
/// stored as it is.
struct Turned;

impl ValueCipher for Turned {
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(key.len()).unwrap();
        std::iter::once(length).chain(value.iter().map(|byte| !byte)).collect()
    }

    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (length, value) = sealed.split_first()?;
        (usize::from(*length) == key.len()).then(|| value.iter().map(|byte| !byte).collect())
    }
}

/// What the transaction manager of one party held.
struct Recorded {
    payloads: BTreeMap<PayloadHash, Arc<PrivatePayload>>,
}

impl PrivatePayloads for Recorded {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        self.payloads
            .get(&hash)
            .map_or(Resolution::NotParty, |payload| Resolution::Party(Arc::clone(payload)))
    }
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/goquorum").join(name)
}

fn texts<T: std::str::FromStr<Err: std::fmt::Debug>>(list: &Value) -> Vec<T> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

fn base64(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).unwrap()
}

fn recorded(name: &str, party: usize) -> (Recorded, RecipientKey) {
    let file = fs::read(folder(name).join("payloads.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let key = texts::<RecipientKey>(&file["parties"])[party];
    let mut payloads = BTreeMap::new();
    for (hash, entry) in file["payloads"].as_object().unwrap() {
        let parties = texts::<RecipientKey>(&entry["parties"]);
        if !parties.contains(&key) {
            continue;
        }
        let root = base64(entry["exec"].as_str().unwrap());
        let terms = PrivacyTerms {
            flag: PrivacyFlag::from_number(entry["flag"].as_u64().unwrap()).unwrap(),
            affected: texts(&entry["acoths"]),
            execution_root: B256::try_from(root.as_slice()).ok(),
            mandatory: texts(&entry["mandatory"]),
        };
        let payload = PrivatePayload {
            plain: base64(entry["payload"].as_str().unwrap()).into(),
            sender: entry["sender"].as_str().unwrap().parse().unwrap(),
            managed: vec![key],
            parties,
            terms,
        };
        payloads.insert(hash.parse().unwrap(), Arc::new(payload));
    }
    (Recorded { payloads }, key)
}

struct Imported {
    database: Database,
    states: PrivateStates,
    id: PrivateStateId,
    _folder: tempfile::TempDir,
}

/// A chain that is about to be imported.
struct Importing {
    database: Database,
    states: PrivateStates,
    id: PrivateStateId,
    ledger: Ledger,
    folder: tempfile::TempDir,
}

fn import(name: &str, party: usize) -> Imported {
    let (payloads, _) = recorded(name, party);
    let (mut importing, blocks) = Importing::open(name, Arc::new(payloads));
    for block in blocks {
        let number = block.header.number;
        let imported = importing.ledger.import(block, u64::MAX);
        imported.unwrap_or_else(|cause| panic!("block {number}: {cause}"));
    }
    let Importing { database, states, id, folder, .. } = importing;
    Imported { database, states, id, _folder: folder }
}

impl Importing {
    fn open(name: &str, payloads: Arc<dyn PrivatePayloads>) -> (Self, Vec<RecoveredBlock>) {
        let json = fs::read(folder(name).join("genesis.json")).unwrap();
        let genesis = Genesis::parse(&json).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(temporary.path(), &options).unwrap();
        database.initialise(&genesis, &json).unwrap();
        let states = database.private_states(Arc::new(Turned)).unwrap();
        let id = PrivateStateId::default_state();
        states.add(&id).unwrap();
        let private = PrivateLedger::new(
            payloads,
            Arc::new(Residents::default()),
            states.clone(),
            database.states(),
        );
        let spec = Arc::new(genesis.spec);
        let executor = Executor::new(Arc::clone(&spec)).with_private_states(Arc::new(private));
        let ledger = Ledger::open_with(
            &database,
            Arc::clone(&spec),
            Arc::new(executor),
            Some(states.clone()),
        )
        .unwrap();
        let chain = fs::read(folder(name).join("chain.rlp")).unwrap();
        let mut rest = chain.as_slice();
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let Block { header, transactions, ommers, withdrawals } =
                Block::decode(&mut rest).unwrap();
            if header.number == 0 {
                continue;
            }
            let hash = block_hash(spec.engine_at(header.number), &header).unwrap();
            let recover = |envelope| {
                Arc::new(RecoveredTransaction::recover(envelope, spec.signing()).unwrap())
            };
            let transactions = transactions.into_iter().map(recover).collect();
            let body = Arc::new(BlockBody { transactions, ommers, withdrawals });
            blocks.push(RecoveredBlock { header: SealedHeader::new(header, hash), body });
        }
        (Self { database, states, id, ledger, folder: temporary }, blocks)
    }
}

fn answers(name: &str, party: usize) -> Vec<Value> {
    let file = fs::File::open(folder(name).join(format!("answers-{party}.jsonl.gz"))).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

impl Imported {
    fn storage_root(&self, address: Address, number: u64) -> Option<B256> {
        let changes = Arc::default();
        let private = self.states.store(&self.id).unwrap();
        let leaf = private.leaves_after(number, Arc::clone(&changes), &[address]).unwrap();
        let leaf = leaf[0].or_else(|| {
            self.database.states().leaves_after(number, changes, &[address]).unwrap()[0]
        });
        leaf.map(|leaf| leaf.storage_root)
    }

    fn slot(&self, address: Address, slot: U256, number: u64) -> U256 {
        let private = self.states.store(&self.id).unwrap().at(number).unwrap();
        match private.account(address).unwrap() {
            Some(_) => private.slot(address, slot).unwrap(),
            None => self.database.states().at(number).unwrap().slot(address, slot).unwrap(),
        }
    }

    /// Status and logs of a transaction as a party sees them; `inner`: of the one inside a marker.
    fn receipt(&self, hash: B256, inner: bool) -> Option<(bool, Vec<Value>)> {
        let reader = self.database.reader();
        let (number, index) = reader.transaction_location(hash).unwrap()?;
        let private = self.states.block(&self.id, number).unwrap();
        let private = private
            .and_then(|block| block.receipts.into_iter().find(|receipt| receipt.index == index));
        let (success, logs) = match private {
            Some(private) if private.inner.is_empty() != inner => (private.success, private.logs),
            _ if inner => return None,
            _ => {
                let receipts = reader.receipts(number).unwrap().unwrap();
                let receipt = receipts[usize::try_from(index).unwrap()].clone();
                (receipt.success, receipt.logs)
            }
        };
        let logs = logs.iter().map(|log| {
            serde_json::json!({
                "address": log.address, "topics": log.data.topics(), "data": log.data.data,
            })
        });
        Some((success, logs.collect()))
    }
}

fn log_facts(receipt: &Value) -> Vec<Value> {
    let fact = |log: &Value| {
        serde_json::json!({
            "address": log["address"], "topics": log["topics"], "data": log["data"],
        })
    };
    receipt["logs"].as_array().unwrap().iter().map(fact).collect()
}

/// How many answers were compared, and for how many GoQuorum named the storage root of an account
/// that is not here.
fn compare(name: &str, party: usize) -> (usize, usize) {
    let imported = import(name, party);
    let (mut compared, mut empty_accounts, mut wrong) = (0, 0, Vec::new());
    for answer in answers(name, party) {
        let (method, params, result) =
            (answer["method"].as_str().unwrap(), &answer["params"], &answer["result"]);
        let address = || params[0].as_str().unwrap().parse::<Address>().unwrap();
        let hash = || params[0].as_str().unwrap().parse::<B256>().unwrap();
        let (expected, got) = match method {
            "eth_storageRoot" => {
                let expected = result.as_str().map(|root| root.parse::<B256>().unwrap());
                let got = imported.storage_root(address(), number(&params[1]));
                // GoQuorum runs a creation that is not for it with empty code, which leaves an
                // account without code behind. Here a node that is no party keeps nothing at all.
                let nothing = expected == Some(EMPTY_ROOT_HASH) && got.is_none();
                empty_accounts += usize::from(nothing);
                let got = if nothing { expected } else { got };
                (format!("{expected:?}"), format!("{got:?}"))
            }
            "eth_getStorageAt" => {
                let slot = U256::from(number(&params[1]));
                let got = B256::from(imported.slot(address(), slot, number(&params[2])));
                (result.as_str().unwrap().to_owned(), got.to_string())
            }
            "eth_getTransactionReceipt" | "eth_getPrivateTransactionReceipt" => {
                let inner = method == "eth_getPrivateTransactionReceipt";
                // A recorded error is GoQuorum's way to say that there is none.
                let expected =
                    result.get("status").map(|status| (status == "0x1", log_facts(result)));
                (format!("{expected:?}"), format!("{:?}", imported.receipt(hash(), inner)))
            }
            "eth_getContractPrivacyMetadata" => {
                let expected = result.get("privacyFlag").map(|flag| {
                    (
                        result["creationTxHash"].as_str().unwrap().to_owned(),
                        flag.as_u64().unwrap(),
                        result["mandatoryFor"].as_array().map_or(0, Vec::len),
                    )
                });
                let got = imported.states.terms(&imported.id, address()).unwrap().map(|terms| {
                    (
                        terms.creation.to_string(),
                        u64::from(terms.flag.number()),
                        terms.mandatory.len(),
                    )
                });
                (format!("{expected:?}"), format!("{got:?}"))
            }
            _ => continue,
        };
        compared += 1;
        if expected != got {
            wrong.push(format!("{method} {params}: expected {expected}, got {got}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "party {party} of {name}: {} of {compared} differ:\n{}",
        wrong.len(),
        wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
    (compared, empty_accounts)
}

/// Answers as a store that cannot be read, until it is told otherwise.
struct Unreadable {
    recorded: Recorded,
    readable: AtomicBool,
}

impl PrivatePayloads for Unreadable {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        match self.recorded.resolve(hash) {
            Resolution::Party(_) if !self.readable.load(SeqCst) => {
                Resolution::Unavailable("the disk is away".to_owned())
            }
            other => other,
        }
    }
}

/// quorum#1574: a payload that cannot be read must not be taken for somebody else's.
#[test]
fn a_payload_that_cannot_be_read_holds_the_import_and_blames_nobody() {
    let (recorded, _) = recorded("private-3", 0);
    let payloads = Arc::new(Unreadable { recorded, readable: AtomicBool::new(false) });
    let (mut importing, blocks) = Importing::open("private-3", Arc::clone(&payloads) as _);
    let mut held = 0;
    for block in blocks {
        if let Err(error) = importing.ledger.import(block.clone(), u64::MAX) {
            held += 1;
            assert!(error.missing_payload().is_some_and(|cause| cause.contains("disk is away")));
            assert!(!error.is_invalid_block(), "{error}");
            assert_eq!(importing.ledger.head().header.number + 1, block.header.number);
            payloads.readable.store(true, SeqCst);
            importing.ledger.import(block, u64::MAX).unwrap();
            payloads.readable.store(false, SeqCst);
        }
    }
    assert!(held > 10, "{held}");
}

#[test]
fn each_party_of_a_private_chain_gets_its_own_private_state() {
    for party in 0..3 {
        assert_eq!(compare("private-3", party), (205, [4, 2, 8][party]));
    }
}

#[test]
fn each_party_of_a_chain_with_markers_gets_its_own_private_state() {
    for party in 0..3 {
        assert_eq!(compare("private-3-marker", party), (205, 0));
    }
}
