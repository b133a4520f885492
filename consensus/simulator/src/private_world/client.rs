//! Clients: they ask a node for private and public transactions, well or badly meant, through the
//! checks that a node's RPC makes (`rpc/src/private_sending.rs`).

use super::{
    Event, Unit, World,
    code::{Call, GAS, MARK},
    frames::payload_in,
    machine::{Machine, PAYLOADS},
    model::{Forecast, Terms},
    truth::{Meaning, Payload},
};
use crate::workload::Account;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, TxKind};
use entente_chain::{
    RecoveredTransaction, StateReader as _,
    private::{PayloadHash, PrivacyFlag, PrivacyTerms, RecipientKey},
    transaction::Signing,
};
use entente_evm::{AffectedContract, PrivateCall, Simulated};
use entente_privacy::{Action, DeliveryError, RequestId, SendReceipt, SendRequest};
use entente_storage::Column;
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// An account at a node; it has one request or transaction under way at most.
pub(super) struct Client {
    pub(super) node: usize,
    pub(super) account: Account,
    pub(super) nonce: u64,
    /// A request waits for its parties.
    asks: bool,
    /// A transaction waits for its block.
    pub(super) waits: Option<B256>,
}

/// A request that waits for its parties.
pub(super) struct Pending {
    client: usize,
    payload: Payload,
    /// None: nothing was stored.
    hash: Option<PayloadHash>,
}

/// What a client wants.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) sender: RecipientKey,
    pub(super) recipients: BTreeSet<RecipientKey>,
    pub(super) flag: PrivacyFlag,
    pub(super) mandatory: BTreeSet<RecipientKey>,
    pub(super) call: Call,
}

impl Client {
    pub(super) const fn new(node: usize, account: Account) -> Self {
        Self { node, account, nonce: 0, asks: false, waits: None }
    }

    /// Its node died: it will never hear of its request.
    pub(super) const fn forget_request(&mut self) {
        self.asks = false;
    }

    pub(super) const fn is_free(&self) -> bool {
        !self.asks && self.waits.is_none()
    }

    /// Where its next transaction creates.
    pub(super) fn creates_at(&self) -> Address {
        self.account.address().create(self.nonce)
    }
}

impl World {
    /// A client of a node that is up and not behind asks for something.
    pub(super) fn client(&mut self) {
        if self.asked >= self.scenario.requests {
            return;
        }
        let delay = 200 + self.random.below(900);
        self.at(delay, Event::Client);
        let height = self.blocks.len() as u64;
        let able = |client: &Client| {
            let machine = &self.machines[client.node];
            client.is_free() && machine.process.is_some() && machine.head() + 2 >= height
        };
        let free: Vec<_> = (0..self.clients.len()).filter(|at| able(&self.clients[*at])).collect();
        let Some(client) = free.get(self.random.index(free.len())).copied() else { return };
        self.asked += 1;
        match self.random.below(100) {
            0..14 => self.ask_public(client),
            14..26 => self.lie(client),
            _ => {
                let wish = self.draw_wish(client);
                self.ask(client, &wish);
            }
        }
    }

    fn ask_public(&mut self, client: usize) {
        let mut word = B256::from(alloy_primitives::U256::from(self.random.next()));
        word[0] = 1;
        let known = &self.truths.public_contracts;
        let call = match known.get(self.random.index(known.len())).copied() {
            Some(to) if known.len() > 1 => {
                let private = &self.truths.contracts;
                let target = private.get(self.random.index(private.len()));
                Call::Call { to, word, target: target.map(|one| one.address), reader: None }
            }
            _ => Call::Create { word },
        };
        let transaction = self.sign(client, &call.public_data(), call.to(), false);
        self.truths.transactions.insert(transaction.hash(), Meaning::Public(call));
        self.pool_soon(client, transaction);
    }

    /// A word that nobody but its parties may see.
    pub(super) fn word(&mut self) -> B256 {
        let mut word = B256::ZERO;
        for part in word.0.chunks_mut(8) {
            part.copy_from_slice(&self.words.next().to_be_bytes());
        }
        word.0[..MARK.len()].copy_from_slice(MARK);
        word
    }

    /// Terms as RPC makes them, then what the node makes of the request.
    pub(super) fn ask(&mut self, client: usize, wish: &Wish) {
        let node = self.clients[client].node;
        let unit = self.units.get(&wish.sender).copied().unwrap_or_default();
        let simulated = match self.simulate(client, unit, wish) {
            Ok(simulated) => simulated,
            Err(cause) => return self.refused(client, wish, &cause),
        };
        let terms = PrivacyTerms {
            flag: wish.flag,
            affected: simulated.0,
            execution_root: simulated.1,
            mandatory: wish.mandatory.iter().copied().collect(),
        };
        let request = SendRequest {
            plain: Zeroizing::new(wish.call.data()),
            sender: Some(wish.sender),
            recipients: wish.recipients.iter().copied().collect(),
            terms: terms.clone(),
        };
        let before = self.payload_count(node);
        let Some(privacy) = self.privacy(node) else { return };
        match privacy.send(self.clock(node), &request) {
            Err(error) => {
                if self.payload_count(node) != before {
                    let what = format!("node {node} refused a request and stored it: {error}");
                    return self.fail("P5", what);
                }
                self.refused(client, wish, &error.to_string());
            }
            Ok((request, actions)) => {
                let payload = self.payload(client, unit, wish, terms);
                self.begin(client, request, payload, actions);
            }
        }
    }

    fn payload(&self, client: usize, unit: Unit, wish: &Wish, terms: PrivacyTerms) -> Payload {
        let forecast = (wish.flag == PrivacyFlag::StateValidation)
            .then(|| self.forecast(client, unit, &wish.call));
        let hash = PayloadHash(Default::default());
        Payload {
            call: wish.call,
            plain: wish.call.data(),
            sender: wish.sender,
            parties: wish.recipients.iter().chain([&wish.sender]).copied().collect(),
            terms: Terms { hash, flag: wish.flag, affected: terms.affected, forecast },
            mandatory: wish.mandatory.clone(),
            lie: None,
            at: self.time,
        }
    }

    /// What the sender sees in a simulation on its head, in our own words.
    pub(super) fn forecast(&self, client: usize, unit: Unit, call: &Call) -> Forecast {
        let at = self.clients[client].creates_at();
        let machine = &self.machines[unit.0];
        let head = usize::try_from(machine.head()).unwrap_or(0);
        match (machine.models.get(unit.1), self.public.get(head)) {
            (Some(private), Some(public)) => private.forecast(public, at, call).touched,
            _ => Forecast::default(),
        }
    }

    fn begin(&mut self, client: usize, request: RequestId, payload: Payload, actions: Vec<Action>) {
        let node = self.clients[client].node;
        let hash = actions.iter().find_map(|action| match action {
            Action::Send { frame, .. } => payload_in(frame).map(|payload| payload.hash()),
            Action::Finished { result: Ok(receipt), .. } => Some(receipt.hash),
            _ => None,
        });
        self.clients[client].asks = true;
        if let Some(hash) = hash {
            self.judge.requested.insert(hash, payload.parties.clone());
            let held = (payload.parties.clone(), self.time);
            self.machines[node].holds.insert(hash, held);
        }
        let down = payload.parties.iter().filter_map(|key| self.units.get(key));
        if down.into_iter().any(|unit| self.machines[unit.0].process.is_none()) {
            self.coverage.saw("party down while it is sent to");
        }
        let Some(process) = self.machines[node].process.as_mut() else { return };
        let Some(side) = process.private.as_mut() else { return };
        side.pending.insert(request, Pending { client, payload, hash });
        if !self.healed && self.random.percent(4) {
            self.coverage.saw("crash between two steps of a send");
            return self.crash_and_restart(node, 6_000);
        }
        self.perform(node, actions);
    }

    /// Every party has it, or nobody keeps it.
    pub(super) fn finished(
        &mut self,
        node: usize,
        request: RequestId,
        result: Result<SendReceipt, DeliveryError>,
    ) {
        let side = self.machines[node].process.as_mut().and_then(|one| one.private.as_mut());
        let Some(Pending { client, mut payload, hash }) =
            side.and_then(|side| side.pending.remove(&request))
        else {
            return self.fail("acknowledged", format!("node {node} answers what nobody asked"));
        };
        self.clients[client].asks = false;
        match result {
            Ok(receipt) => {
                payload.terms.hash = receipt.hash;
                let held = (payload.parties.clone(), self.time);
                self.machines[node].holds.insert(receipt.hash, held);
                self.judge.requested.insert(receipt.hash, payload.parties.clone());
                self.coverage.saw("acknowledged");
                self.tell(&format!("node {node}: every party has {}", receipt.hash));
                self.check_acknowledged(receipt.hash, &payload);
                if !self.healed && self.random.percent(2) {
                    self.coverage.saw("crash before a client is told");
                    return self.crash_and_restart(node, 4_000);
                }
                self.put_on_chain(client, payload, 0);
            }
            Err(error) => {
                self.coverage.saw("send failed");
                self.tell(&format!("node {node}: not sent: {error}"));
                if let Some(hash) = hash {
                    self.machines[node].holds.remove(&hash);
                    if self.is_stored(node, hash) {
                        let what = format!("node {node} keeps {hash}, which was not delivered");
                        self.fail("acknowledged", what);
                    }
                }
            }
        }
    }

    /// Signs the public transaction of a payload.
    pub(super) fn put_on_chain(&mut self, client: usize, payload: Payload, later: u64) {
        let (hash, to) = (payload.terms.hash, payload.call.to());
        let transaction = self.sign(client, &Bytes::from(hash), to, true);
        self.truths.transactions.insert(transaction.hash(), Meaning::Private(hash));
        self.truths.payloads.insert(hash, payload);
        self.clients[client].waits = Some(transaction.hash());
        let mut delay = later + 1 + self.random.below(200);
        if !self.healed && self.random.percent(12) {
            // Behind one with a lower nonce, or signed elsewhere.
            self.coverage.saw("transaction waits for seconds");
            delay += 1_000 + self.random.below(5_000);
        }
        self.at(delay, Event::Pool { transaction });
    }

    fn pool_soon(&mut self, client: usize, transaction: Arc<RecoveredTransaction>) {
        self.clients[client].waits = Some(transaction.hash());
        let delay = 1 + self.random.below(200);
        self.at(delay, Event::Pool { transaction });
    }

    fn sign(
        &mut self,
        client: usize,
        input: &Bytes,
        to: Option<Address>,
        private: bool,
    ) -> Arc<RecoveredTransaction> {
        let client = &mut self.clients[client];
        let transaction = TxLegacy {
            chain_id: (!private).then_some(1337),
            nonce: client.nonce,
            gas_limit: GAS,
            to: to.map_or(TxKind::Create, TxKind::Call),
            input: input.clone(),
            ..TxLegacy::default()
        };
        let signature = client.account.sign(transaction.signature_hash());
        // A v of 37 or 38 reads as a chain id of 1; it is signed without.
        let chain_id = if private { Some(1) } else { transaction.chain_id };
        let transaction = TxLegacy { chain_id, ..transaction };
        let envelope = EthereumTxEnvelope::Legacy(transaction.into_signed(signature));
        let address = client.account.address();
        let recovered = RecoveredTransaction::recover(envelope.clone(), Signing::Quorum);
        let recovered =
            recovered.unwrap_or_else(|_| RecoveredTransaction::with_sender(envelope, address));
        Arc::new(recovered)
    }

    fn payload_count(&self, node: usize) -> usize {
        self.machines[node].disk.keys(Column::Payloads, PAYLOADS).len()
    }

    fn refused(&mut self, client: usize, wish: &Wish, cause: &str) {
        let node = self.clients[client].node;
        self.tell(&format!("node {node} refuses: {cause}"));
        let kinds = [
            ("mandatory recipient", "send refused: mandatory recipient"),
            ("the parties are not those", "send refused: parties"),
            ("contract not found", "send refused: outsider"),
            ("is no party to", "send refused: outsider"),
            ("is not known to this node", "send refused: creation unknown"),
            ("flag", "send refused: flag"),
            ("simulation", "send refused: simulation failed"),
        ];
        let kind = kinds.iter().find(|(part, _)| cause.contains(part));
        match kind {
            Some((_, seen)) => self.coverage.saw(seen),
            None => self.fail("P5", format!("node {node} refuses {wish:?}: {cause}")),
        }
    }

    /// Which payloads the terms must name, and the root, as RPC finds them out.
    pub(super) fn simulate(
        &self,
        client: usize,
        unit: Unit,
        wish: &Wish,
    ) -> Result<(Vec<PayloadHash>, Option<B256>), String> {
        let client = &self.clients[client];
        let Some(process) = &self.machines[unit.0].process else { return Err("down".to_owned()) };
        let head = process.ledger.head().header.clone();
        let public = process.public.at(head.number).map_err(|error| error.to_string())?;
        let id = Machine::state_id(unit.1);
        if let (Some(to), true) = (wish.call.to(), wish.flag != PrivacyFlag::Standard) {
            let store = process.private.as_ref().and_then(|side| side.states.store(&id));
            let store = store.ok_or("no private state")?;
            let private = store.at(head.number).map_err(|error| error.to_string())?;
            let own = private.account(to).map_err(|error| error.to_string())?;
            let other = public.account(to).map_err(|error| error.to_string())?;
            if !own.or(other).is_some_and(|account| account.has_code()) {
                return Err("contract not found. cannot transact".to_owned());
            }
        }
        let call = PrivateCall {
            from: client.account.address(),
            nonce: client.nonce,
            to: wish.call.to(),
            gas: GAS,
            payload: wish.call.data().into(),
        };
        let simulated = process.executor.simulate_private(&head, &public, &id, &call);
        let Simulated { affected, execution_root, failure } =
            simulated.map_err(|error| error.to_string())?;
        if let (Some(failure), true) = (failure, wish.flag != PrivacyFlag::Standard) {
            return Err(format!("simulation: {failure}"));
        }
        let root = (wish.flag == PrivacyFlag::StateValidation).then_some(execution_root);
        Ok((affected_payloads(wish.flag, &affected)?, root))
    }
}

/// The payloads that created the contracts which take part.
fn affected_payloads(
    flag: PrivacyFlag,
    affected: &[AffectedContract],
) -> Result<Vec<PayloadHash>, String> {
    let mut payloads = BTreeSet::new();
    for contract in affected.iter().filter(|contract| !contract.created) {
        match &contract.terms {
            Some(terms) if terms.flag == flag => drop(payloads.insert(terms.creation)),
            None if flag == PrivacyFlag::Standard => {}
            _ => return Err(format!("the flag of {} is another", contract.address)),
        }
    }
    Ok(payloads.into_iter().collect())
}
