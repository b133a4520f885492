//! Requests of RPC about private transactions, and what the exchange wants done.

use super::{
    agreement::Agreements,
    stall::PayloadStall,
    wording::{not_sent, rejected},
};
use crate::clock::Clock;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::NodeId;
use entente_chain::private::{PayloadHash, PrivatePayload, PrivateStateId, RecipientKey};
use entente_ledger::Residents;
use entente_p2p::{Channel, NetworkHandle};
use entente_privacy::{
    Action, DeliveryError, KeyStore, PartyKey, Privacy, PrivacyError, Randomness, RequestId,
    SendReceipt, SendRequest,
};
use entente_rpc::{BoxFuture, Distribution, PrivateBackend, Rejected, StoredPayload};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use zeroize::Zeroizing;

/// What a node that breaks the protocol loses; it is banned at 100.
const PENALTY_POINTS: u32 = 20;
/// Results that nobody has asked for yet; more are only lost if callers go away.
const EARLY_RESULTS_MAX: usize = 1024;

type Outcome = Result<SendReceipt, DeliveryError>;

/// Why a payload was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    /// The request was refused: nothing left the node.
    #[error(transparent)]
    Refused(#[from] PrivacyError),
    /// Not every party has it.
    #[error(transparent)]
    Undelivered(#[from] DeliveryError),
    /// The node stops.
    #[error("the node is shutting down")]
    Stopping,
}

/// Makes keys while the node runs.
#[derive(Clone)]
pub(crate) struct KeyMaker {
    store: KeyStore,
    password: Zeroizing<String>,
    randomness: Arc<Randomness>,
    /// One key at a time: each takes the time and memory of two runs of Argon2.
    turn: Arc<Semaphore>,
}

impl KeyMaker {
    pub(crate) fn new(
        store: KeyStore,
        password: Zeroizing<String>,
        randomness: Arc<Randomness>,
    ) -> Self {
        Self { store, password, randomness, turn: Arc::new(Semaphore::new(1)) }
    }

    /// The turn of one that makes a key, and refused while another one does.
    fn turn(&self) -> Result<OwnedSemaphorePermit, Rejected> {
        let turn = Arc::clone(&self.turn).try_acquire_owned();
        turn.map_err(|_| Rejected("a key is being made already, try again later".to_owned()))
    }

    fn make(&self) -> Result<PartyKey, Rejected> {
        let key = self.store.create(&self.password, &self.randomness);
        key.map_err(|error| Rejected(error.to_string()))
    }
}

/// The private side as others of this process ask it.
pub(crate) struct PrivateDesk {
    pub(crate) privacy: Arc<Privacy>,
    pub(crate) residents: Arc<Residents>,
    pub(crate) network: NetworkHandle,
    pub(crate) agreements: Arc<Agreements>,
    pub(crate) stall: Arc<PayloadStall>,
    pub(crate) clock: Clock,
    keys: KeyMaker,
    results: Mutex<Results>,
}

/// Requests under way. A result may come before its request is known here.
#[derive(Default)]
struct Results {
    waiting: BTreeMap<RequestId, oneshot::Sender<Outcome>>,
    early: BTreeMap<RequestId, Outcome>,
}

impl PrivateDesk {
    pub(crate) fn new(
        (privacy, residents): (Arc<Privacy>, Arc<Residents>),
        network: NetworkHandle,
        agreements: Arc<Agreements>,
        stall: Arc<PayloadStall>,
        (clock, keys): (Clock, KeyMaker),
    ) -> Self {
        let results = Mutex::default();
        Self { privacy, residents, network, agreements, stall, clock, keys, results }
    }

    /// Milliseconds of the monotonic clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().elapsed
    }

    /// Does what the exchange wants.
    pub(crate) fn perform(&self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, frame } => self.network.send(to, Channel::Payloads, frame),
                Action::Finished { request, result } => self.finish(request, result),
                Action::ReceiptArrived { hash, party } => {
                    self.agreements.arrived(&self.privacy, hash, party);
                }
                Action::Misbehaved { node, reason } => {
                    self.network.penalize(node, PENALTY_POINTS, reason);
                }
            }
        }
    }

    fn finish(&self, request: RequestId, result: Outcome) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match results.waiting.remove(&request) {
            // Who does not wait any more does not need the answer.
            Some(waiting) => drop(waiting.send(result)),
            None => {
                while results.early.len() >= EARLY_RESULTS_MAX {
                    results.early.pop_first();
                }
                results.early.insert(request, result);
            }
        }
    }

    fn wait(&self, request: RequestId) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match results.early.remove(&request) {
            Some(result) => drop(sender.send(result)),
            None => drop(results.waiting.insert(request, sender)),
        }
        receiver
    }

    /// Runs a request that writes to the disk on a blocking thread, then waits for its end.
    pub(crate) async fn deliver(
        self: Arc<Self>,
        begin: impl FnOnce(&Privacy, u64) -> Result<(RequestId, Vec<Action>), PrivacyError>
        + Send
        + 'static,
    ) -> Result<SendReceipt, NotSent> {
        let desk = Arc::clone(&self);
        let begun = tokio::task::spawn_blocking(move || {
            let (request, actions) = begin(&desk.privacy, desk.now())?;
            let waiting = desk.wait(request);
            desk.perform(actions);
            Ok::<_, PrivacyError>(waiting)
        });
        let waiting = begun.await.map_err(|_| NotSent::Stopping)??;
        Ok(waiting.await.map_err(|_| NotSent::Stopping)??)
    }
}

fn stopping() -> Rejected {
    Rejected("the node is shutting down".to_owned())
}

fn request(plain: Zeroizing<Vec<u8>>, distribution: Distribution) -> SendRequest {
    let Distribution { from, to, terms } = distribution;
    SendRequest { plain, sender: from, recipients: to, terms }
}

/// What a node that does not hold a payload answers is no error.
pub(crate) fn if_held<T>(result: Result<T, PrivacyError>) -> Result<Option<T>, Rejected> {
    match result {
        Ok(held) => Ok(Some(held)),
        Err(PrivacyError::Unknown(_) | PrivacyError::Erased(_)) => Ok(None),
        Err(error) => Err(rejected(&error)),
    }
}

/// Whether a payload is a private state's to erase: a key of it is a party or, before the payload was
/// sent, the sender. The default state is the operator's: what no key opens any more is its own.
fn is_payload_of(
    privacy: &Privacy,
    residents: &Residents,
    hash: PayloadHash,
    id: &PrivateStateId,
) -> Result<bool, PrivacyError> {
    let is_ours = |key: &RecipientKey| residents.state_of(*key) == *id;
    let kept = || privacy.receive_raw(hash).map(|payload| is_ours(&payload.sender));
    let sent = privacy.receive(hash).map(|payload| payload.managed.iter().any(is_ours));
    let found = match sent {
        Err(PrivacyError::Unknown(_)) => kept(),
        sent => sent,
    };
    match found {
        Err(PrivacyError::Unknown(_) | PrivacyError::Erased(_)) => Ok(false),
        Err(PrivacyError::Open { .. }) => Ok(*id == PrivateStateId::default_state()),
        found => found,
    }
}

/// RPC holds the desk by this.
pub(crate) struct DeskHandle(pub(crate) Arc<PrivateDesk>);

impl PrivateBackend for DeskHandle {
    fn keys(&self) -> Vec<RecipientKey> {
        let mut keys = self.0.privacy.keys();
        let first = self.0.privacy.default_sender();
        keys.sort_by_key(|key| (Some(*key) != first, *key));
        keys
    }

    fn state_of(&self, key: RecipientKey) -> PrivateStateId {
        self.0.residents.state_of(key)
    }

    fn payload(&self, hash: PayloadHash) -> Result<Option<Arc<PrivatePayload>>, Rejected> {
        if_held(self.0.privacy.receive(hash))
    }

    fn store(&self, payload: StoredPayload) -> BoxFuture<Result<PayloadHash, Rejected>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let StoredPayload { plain, sender } = payload;
            let stored = move || desk.privacy.store_raw(&plain, Some(sender));
            let stored = tokio::task::spawn_blocking(stored).await.map_err(|_| stopping())?;
            stored.map_err(|error| rejected(&error))
        })
    }

    fn stored(&self, hash: PayloadHash) -> Result<Option<StoredPayload>, Rejected> {
        let stored = if_held(self.0.privacy.receive_raw(hash))?;
        Ok(stored.map(|payload| StoredPayload { plain: payload.plain, sender: payload.sender }))
    }

    fn distribute(
        &self,
        plain: Zeroizing<Vec<u8>>,
        distribution: Distribution,
    ) -> BoxFuture<Result<PayloadHash, Rejected>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let request = request(plain, distribution);
            let to = request.recipients.clone();
            let sent = desk.deliver(move |privacy, now| privacy.send(now, &request)).await;
            sent.map(|sent| sent.hash).map_err(|error| not_sent(&error, &to))
        })
    }

    fn distribute_stored(
        &self,
        hash: PayloadHash,
        distribution: Distribution,
    ) -> BoxFuture<Result<(), Rejected>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let Distribution { to, terms, .. } = distribution;
            let named = to.clone();
            let begin = move |privacy: &Privacy, now| privacy.send_raw(now, hash, &to, &terms);
            let sent = desk.deliver(begin).await;
            sent.map(drop).map_err(|error| not_sent(&error, &named))
        })
    }

    fn decrypt(&self, encrypted: &Value, id: &PrivateStateId) -> Result<PrivatePayload, Rejected> {
        let cipher = encrypted.get("cipherText").and_then(Value::as_str).ok_or_else(|| {
            Rejected("cipherText: missing, base64 as /encodedpayload/create gave it".to_owned())
        })?;
        let cipher = STANDARD
            .decode(cipher)
            .map_err(|cause| Rejected(format!("cipherText: not base64: {cause}")))?;
        let own: Vec<_> =
            self.0.privacy.keys().into_iter().filter(|key| self.state_of(*key) == *id).collect();
        self.0.privacy.open_encoded_for(&own, &cipher).map_err(|error| rejected(&error))
    }

    fn new_key(&self, id: PrivateStateId) -> BoxFuture<Result<RecipientKey, Rejected>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            if id != PrivateStateId::default_state() {
                // After a restart the configuration decides whose a key is.
                return Err(Rejected(format!(
                    "a key of {id} needs a place in privacy.states: make it with `entente key \
                     privacy new`, name it there and restart"
                )));
            }
            let turn = desk.keys.turn()?;
            let made = tokio::task::spawn_blocking(move || {
                let key = desk.keys.make()?;
                let public = key.public();
                desk.privacy.add_key(key);
                desk.perform(desk.privacy.announce());
                tracing::info!(key = %public, "a new key for private transactions");
                drop(turn);
                Ok(public)
            });
            made.await.map_err(|_| Rejected("the node is shutting down".to_owned()))?
        })
    }

    fn erase(&self, hash: PayloadHash, id: &PrivateStateId) -> Result<bool, Rejected> {
        let (privacy, residents) = (&self.0.privacy, &self.0.residents);
        if !is_payload_of(privacy, residents, hash, id).map_err(|error| rejected(&error))? {
            return Ok(false);
        }
        let erased = self.0.privacy.delete(hash).map_err(|error| rejected(&error))?;
        tracing::warn!(%hash, erased, "a private payload was erased for good");
        Ok(erased)
    }

    fn give_up(&self, hash: PayloadHash) {
        tracing::warn!(%hash, "the operator decides that this node is no party to a payload");
        self.0.privacy.give_up(hash);
    }

    fn forget_node(&self, node: &str) -> Result<bool, Rejected> {
        let node = node.parse::<NodeId>().map_err(|cause| Rejected(cause.to_string()))?;
        self.0.privacy.forget_node(node).map_err(|error| rejected(&error))
    }

    fn status(&self, id: &PrivateStateId) -> Result<Value, Rejected> {
        let told = self.0.privacy.directory().into_iter();
        let nodes: Vec<_> =
            told.map(|(node, keys)| json!({ "node": node.to_string(), "keys": keys })).collect();
        let keys: Vec<_> =
            self.keys().into_iter().filter(|key| self.state_of(*key) == *id).collect();
        let recovering = self.0.privacy.recovering_until();
        Ok(json!({
            "privateState": id.as_str(),
            "keys": keys,
            "nodes": nodes,
            "recovering": recovering.is_some(),
            "waitingFor": self.0.stall.reason(),
            "contracts": self.0.agreements.contracts(id),
            "alarms": self.0.agreements.alarms(id),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::EnvironmentId;
    use entente_privacy::{DatabaseCipher, DatabaseKey, KdfCost, PrivacySettings};
    use entente_storage::{Database, StorageOptions};
    use std::path::Path;

    fn key(number: u8) -> PartyKey {
        PartyKey::new(Zeroizing::new([number; 32]))
    }

    fn open(folder: &Path, numbers: &[u8]) -> Privacy {
        let options = StorageOptions { sync: false, ..StorageOptions::default() };
        let database = Database::open(folder, &options).expect("a database");
        let randomness = Arc::new(Randomness::from_os().expect("randomness"));
        let database_key = DatabaseKey::new(Zeroizing::new([9; 32]));
        let cipher = DatabaseCipher::new(database_key, "payloads", Arc::clone(&randomness));
        let records = database.private_records(Arc::new(cipher)).expect("records");
        let keys = numbers.iter().copied().map(key).collect();
        let names = (EnvironmentId([7; 32].into()), NodeId([1; 32]));
        Privacy::open(records, keys, names, randomness, &PrivacySettings::default()).expect("open")
    }

    #[test]
    fn a_kept_payload_is_its_senders_to_erase_and_one_that_does_not_open_the_operators() {
        let folder = tempfile::tempdir().expect("folder");
        let residents = Residents::default();
        let named = PrivateStateId::new("PS1").expect("a name");
        residents.assign(&named, [key(2).public()]);
        let default = PrivateStateId::default_state();
        let privacy = open(folder.path(), &[1, 2]);
        let kept = |number| privacy.store_raw(b"kept", Some(key(number).public())).expect("kept");
        let (ours, theirs) = (kept(1), kept(2));
        let judge = |privacy: &Privacy, hash, id| is_payload_of(privacy, &residents, hash, id);
        assert_eq!(judge(&privacy, ours, &default), Ok(true));
        assert_eq!(judge(&privacy, ours, &named), Ok(false));
        assert_eq!(judge(&privacy, theirs, &default), Ok(false));
        assert_eq!(judge(&privacy, theirs, &named), Ok(true));
        drop(privacy);
        let without = open(folder.path(), &[3]);
        assert_eq!(judge(&without, ours, &default), Ok(true));
        assert_eq!(judge(&without, ours, &named), Ok(false));
        assert_eq!(without.delete(ours), Ok(true));
        assert_eq!(judge(&without, ours, &default), Ok(false), "it is erased");
    }

    #[test]
    fn one_key_is_made_at_a_time() {
        let folder = tempfile::tempdir().expect("folder");
        let cost = KdfCost { memory_kib: 8, iterations: 1, parallelism: 1 };
        let store = KeyStore::new(folder.path().join("keys"), cost);
        let password = Zeroizing::new("a password".to_owned());
        let randomness = Arc::new(Randomness::from_os().expect("randomness"));
        let maker = KeyMaker::new(store, password, randomness);
        let turn = maker.turn().expect("a turn");
        assert!(maker.turn().expect_err("refused").0.contains("being made already"));
        maker.make().expect("made");
        drop(turn);
        assert!(maker.turn().is_ok());
    }
}
