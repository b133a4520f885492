//! The service task: accepts and dials, admits nodes, keeps the list of links. It never waits for
//! a peer or for the owner, so that commands are carried out at once.

mod logging;

use crate::{
    codec::hello::Refusal,
    config::PeerAddress,
    connection::{self, AllowList, Local, Origin, Outcome},
    dials::Dials,
    limits::{BAN_TIME, CLOSE_TIMEOUT, PENDING_MAX},
    peers::{Direction, Farewell, Link, Links},
    table::{Admission, SessionId, Table},
};
use entente_chain::NodeId;
use logging::FailureLog;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

/// Where the answer to a request for admission goes.
type Verdict = oneshot::Sender<Result<(), Refusal>>;

/// What the service is asked to do.
pub(crate) enum Command {
    Accepted {
        socket: TcpStream,
        address: SocketAddr,
    },
    /// May this node have a session? Answered late when an older one must end first.
    Admit {
        node: NodeId,
        direction: Direction,
        session: SessionId,
        answer: Verdict,
    },
    /// The handshake is done; true when the session is listed and may begin.
    Activate {
        link: Arc<Link>,
        session: SessionId,
        ready: oneshot::Sender<bool>,
    },
    Penalize {
        node: NodeId,
        points: u32,
        reason: String,
    },
    Ban {
        node: NodeId,
        duration: Duration,
        reason: String,
    },
    AddPeer(PeerAddress),
    RemovePeer(NodeId),
    Allow(Option<BTreeSet<NodeId>>),
    /// Told when all is closed.
    Shutdown(Option<oneshot::Sender<()>>),
}

/// What the service publishes.
pub(crate) struct Published {
    pub(crate) links: watch::Sender<Links>,
    pub(crate) neighbours: watch::Sender<Arc<Vec<NodeId>>>,
    pub(crate) allowed: watch::Sender<AllowList>,
}

struct Running {
    task: AbortHandle,
    dialled: Option<NodeId>,
    source: String,
    /// Known once the handshake asked for admission.
    node: Option<NodeId>,
    active: bool,
}

/// The state of the service task.
pub(crate) struct Service {
    local: Arc<Local>,
    commands: mpsc::Receiver<Command>,
    published: Published,
    table: Table,
    dials: Dials,
    log: FailureLog,
    connections: JoinSet<Outcome>,
    by_task: HashMap<tokio::task::Id, SessionId>,
    running: BTreeMap<SessionId, Running>,
    /// Who waits for which session to end.
    successors: BTreeMap<SessionId, Verdict>,
    last_session: u64,
}

impl Service {
    pub(crate) fn new(
        local: Arc<Local>,
        commands: mpsc::Receiver<Command>,
        published: Published,
        max_peers: usize,
    ) -> Self {
        let own = local.expectations.own;
        Self {
            local,
            commands,
            published,
            table: Table::new(own, max_peers),
            dials: Dials::new(own),
            log: FailureLog::default(),
            connections: JoinSet::new(),
            by_task: HashMap::new(),
            running: BTreeMap::new(),
            successors: BTreeMap::new(),
            last_session: 0,
        }
    }

    pub(crate) async fn run(mut self, listener: TcpListener, peers: Vec<PeerAddress>) {
        let now = Instant::now();
        peers.into_iter().for_each(|peer| self.dials.add(peer, now));
        let acceptor = tokio::spawn(accept(listener, self.local.commands.clone()));
        let done = loop {
            let due = self.dials.next_due();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => break done,
                    Some(command) => self.carry_out(command),
                    None => break None,
                },
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => self.dial_due(),
            }
        };
        acceptor.abort();
        // The port is free again only once the acceptor has let go of it.
        if acceptor.await.is_err_and(|error| error.is_panic()) {
            tracing::error!("the task that accepts connections panicked");
        }
        self.close_all().await;
        if done.is_some_and(|done| done.send(()).is_err()) {
            tracing::debug!("nobody waited for the end of the network");
        }
    }

    fn carry_out(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Accepted { socket, address } => {
                self.make_room();
                let source = address.ip().to_string();
                self.spawn(Origin::Accepted { socket, address }, None, source);
            }
            Command::Admit { node, direction, session, answer } => {
                self.admit(node, direction, session, answer);
            }
            Command::Activate { link, session, ready } => self.activate(link, session, ready),
            Command::Penalize { node, points, reason } => {
                tracing::debug!(%node, points, reason, "peer penalized");
                if self.table.penalize(node, points, now) {
                    self.shut_out(node, BAN_TIME, &reason);
                }
            }
            Command::Ban { node, duration, reason } => {
                self.table.ban(node, duration, now);
                self.shut_out(node, duration, &reason);
            }
            Command::AddPeer(peer) => self.dials.add(peer, now),
            Command::RemovePeer(node) => {
                self.dials.remove(node);
                self.close(node, Farewell::Removed);
            }
            Command::Allow(list) => {
                let list = list.map(Arc::new);
                self.published.allowed.send_replace(list.clone());
                let links = Arc::clone(&self.published.links.borrow());
                for (node, link) in links.iter() {
                    if list.as_ref().is_some_and(|list| !list.contains(node)) {
                        link.close(Farewell::NotAllowed);
                    }
                }
            }
            // Taken by the loop.
            Command::Shutdown(_) => {}
        }
    }

    /// Of too many strangers, the one that has kept us waiting longest goes.
    fn make_room(&mut self) {
        let strangers = || self.running.values().filter(|one| one.node.is_none());
        let inbound = || strangers().filter(|one| one.dialled.is_none());
        if inbound().count() >= PENDING_MAX
            && let Some(oldest) = inbound().next()
        {
            oldest.task.abort();
        }
    }

    fn spawn(&mut self, origin: Origin, dialled: Option<NodeId>, source: String) {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let run = connection::run(Arc::clone(&self.local), origin, session);
        let task = self.connections.spawn(run);
        self.by_task.insert(task.id(), session);
        let running = Running { task, dialled, source, node: None, active: false };
        self.running.insert(session, running);
    }

    fn dial_due(&mut self) {
        for peer in self.dials.take_due(Instant::now()) {
            // Whoever holds the place reschedules the dial when it ends.
            if !self.table.holds(peer.node) {
                let PeerAddress { node, address } = peer;
                let source = address.clone();
                self.spawn(Origin::Dialled { node, address }, Some(node), source);
            }
        }
    }

    fn admit(&mut self, node: NodeId, direction: Direction, session: SessionId, answer: Verdict) {
        let admission = self.table.admit(node, session, direction, Instant::now());
        if !matches!(admission, Admission::Refused(_))
            && let Some(running) = self.running.get_mut(&session)
        {
            running.node = Some(node);
        }
        let verdict = match admission {
            Admission::Welcome => Ok(()),
            Admission::Refused(refusal) => Err(refusal),
            Admission::After(older) => match self.running.get(&older) {
                Some(running) => {
                    if running.active {
                        self.close(node, Farewell::Replaced);
                    } else {
                        running.task.abort();
                    }
                    self.successors.insert(older, answer);
                    return;
                }
                None => Ok(()),
            },
        };
        if answer.send(verdict).is_err() {
            tracing::debug!(%node, "connection gave up before it was admitted");
        }
    }

    fn activate(&mut self, link: Arc<Link>, session: SessionId, ready: oneshot::Sender<bool>) {
        let node = link.peer.node;
        let active = self.table.activate(node, session);
        if active {
            if let Some(running) = self.running.get_mut(&session) {
                running.active = true;
            }
            self.publish(|links| drop(links.insert(node, link)));
        }
        if ready.send(active).is_err() {
            tracing::debug!(%node, "connection gave up before it was active");
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Some(outcome)),
            Err(error) => (error.id(), None),
        };
        let Some(session) = self.by_task.remove(&task) else { return };
        let Some(running) = self.running.remove(&session) else { return };
        if let Some(node) = running.node {
            self.table.end(node, session);
            if running.active {
                self.publish(|links| drop(links.remove(&node)));
            }
        }
        let connected = matches!(outcome, Some(Outcome::Closed));
        let failures = running
            .node
            .or(running.dialled)
            .map_or(0, |node| self.dials.ended(node, connected, Instant::now()));
        if let Some(Outcome::Failed(error)) = &outcome {
            self.local.counters.handshake_failed(error.label());
            self.log.failed(&running.source, running.dialled, failures, error);
        } else if outcome.is_none() {
            self.local.counters.handshake_failed("pushed out");
        }
        if let Some(answer) = self.successors.remove(&session)
            && answer.send(Ok(())).is_err()
        {
            tracing::debug!("the newer session gave up");
        }
    }

    fn shut_out(&mut self, node: NodeId, duration: Duration, reason: &str) {
        tracing::warn!(%node, seconds = duration.as_secs(), reason, "peer banned");
        self.local.counters.banned();
        self.close(node, Farewell::Banned);
    }

    fn close(&self, node: NodeId, farewell: Farewell) {
        if let Some(link) = self.published.links.borrow().get(&node) {
            link.close(farewell);
        }
    }

    fn publish(&self, change: impl FnOnce(&mut BTreeMap<NodeId, Arc<Link>>)) {
        let mut links = BTreeMap::clone(&self.published.links.borrow());
        change(&mut links);
        self.published.neighbours.send_replace(Arc::new(links.keys().copied().collect()));
        self.published.links.send_replace(Arc::new(links));
    }

    /// Says goodbye to everybody; whoever takes too long is cut.
    async fn close_all(&mut self) {
        for running in self.running.values().filter(|running| !running.active) {
            running.task.abort();
        }
        for link in self.published.links.borrow().values() {
            link.close(Farewell::ShuttingDown);
        }
        self.commands.close();
        // Whoever waits for an answer is let go.
        while self.commands.try_recv().is_ok() {}
        self.successors.clear();
        let all = async {
            while let Some(ended) = self.connections.join_next_with_id().await {
                self.ended(ended);
            }
        };
        if timeout(2 * CLOSE_TIMEOUT, all).await.is_err() {
            self.connections.shutdown().await;
        }
        self.publish(BTreeMap::clear);
    }
}

/// Accepts connections until aborted.
async fn accept(listener: TcpListener, commands: mpsc::Sender<Command>) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                if commands.send(Command::Accepted { socket, address }).await.is_err() {
                    return;
                }
            }
            Err(cause) => {
                // Most often out of file descriptors: trying again at once would only spin.
                tracing::warn!(%cause, "cannot accept p2p connections");
                sleep(CLOSE_TIMEOUT / 10).await;
            }
        }
    }
}
