//! Who may have a session: one per node, a bounded number, nobody banned. Pure bookkeeping; the
//! service carries out what it says.

use crate::{
    codec::hello::Refusal,
    limits::{BAN_TIME, HANDSHAKE_TIMEOUT, SCORE_BANNED, SCORES_MAX},
    peers::Direction,
};
use entente_chain::NodeId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// One connection of this process, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// What to do with a node that has passed the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Welcome.
    Welcome,
    /// Welcome once this other session with the node has ended.
    After(SessionId),
    /// Not wanted.
    Refused(Refusal),
}

#[derive(Clone, Copy)]
struct Holder {
    session: SessionId,
    direction: Direction,
    since: Instant,
    active: bool,
}

#[derive(Clone, Copy)]
struct Record {
    points: u32,
    at: Instant,
    banned_until: Option<Instant>,
}

/// Sessions by node, scores and bans.
pub(crate) struct Table {
    own: NodeId,
    max_peers: usize,
    holders: BTreeMap<NodeId, Holder>,
    records: BTreeMap<NodeId, Record>,
}

impl Table {
    pub(crate) const fn new(own: NodeId, max_peers: usize) -> Self {
        Self { own, max_peers, holders: BTreeMap::new(), records: BTreeMap::new() }
    }

    /// Reserves the node's place for a session, or says why not.
    ///
    /// Two nodes that dial each other at once keep the connection that the smaller node id opened.
    /// Once a session is older than any handshake can be, a new one means that the peer lost it
    /// without our noticing: the new one wins.
    pub(crate) fn admit(
        &mut self,
        node: NodeId,
        session: SessionId,
        direction: Direction,
        now: Instant,
    ) -> Admission {
        if self.is_banned(node, now) {
            return Admission::Refused(Refusal::Banned);
        }
        let holder = Holder { session, direction, since: now, active: false };
        let Some(current) = self.holders.get(&node).copied() else {
            if self.holders.len() >= self.max_peers {
                return Admission::Refused(Refusal::TooManyPeers);
            }
            self.holders.insert(node, holder);
            return Admission::Welcome;
        };
        let stale = now.duration_since(current.since) > HANDSHAKE_TIMEOUT;
        let same_dialler = current.direction == direction;
        let wins = !current.active && self.dialled_by_smaller(node, direction);
        if stale || same_dialler || wins {
            self.holders.insert(node, holder);
            Admission::After(current.session)
        } else {
            Admission::Refused(Refusal::Duplicate)
        }
    }

    /// The session is in use from now on; false when another one has taken its place.
    pub(crate) fn activate(&mut self, node: NodeId, session: SessionId) -> bool {
        match self.holders.get_mut(&node) {
            Some(holder) if holder.session == session => {
                holder.active = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The session is over; true when the node's place is free again.
    pub(crate) fn end(&mut self, node: NodeId, session: SessionId) -> bool {
        let held = self.holders.get(&node).is_some_and(|holder| holder.session == session);
        if held {
            self.holders.remove(&node);
        }
        held
    }

    /// Whether some session has the node's place.
    pub(crate) fn holds(&self, node: NodeId) -> bool {
        self.holders.contains_key(&node)
    }

    /// Adds points, which wear off one a second; true when they have become a ban.
    pub(crate) fn penalize(&mut self, node: NodeId, points: u32, now: Instant) -> bool {
        let record = self.record(node, now);
        let worn = u32::try_from(now.duration_since(record.at).as_secs()).unwrap_or(u32::MAX);
        record.points = record.points.saturating_sub(worn).saturating_add(points);
        record.at = now;
        if record.points < SCORE_BANNED {
            return false;
        }
        record.points = 0;
        record.banned_until = now.checked_add(BAN_TIME);
        true
    }

    /// Keeps a node out for some time.
    pub(crate) fn ban(&mut self, node: NodeId, duration: Duration, now: Instant) {
        self.record(node, now).banned_until =
            now.checked_add(duration).or_else(|| now.checked_add(BAN_TIME));
    }

    pub(crate) fn is_banned(&self, node: NodeId, now: Instant) -> bool {
        self.records
            .get(&node)
            .and_then(|record| record.banned_until)
            .is_some_and(|until| until > now)
    }

    fn record(&mut self, node: NodeId, now: Instant) -> &mut Record {
        if self.records.len() >= SCORES_MAX && !self.records.contains_key(&node) {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.at);
            if let Some(node) = oldest.map(|(node, _)| *node) {
                self.records.remove(&node);
            }
        }
        self.records.entry(node).or_insert(Record { points: 0, at: now, banned_until: None })
    }

    fn dialled_by_smaller(&self, node: NodeId, direction: Direction) -> bool {
        match direction {
            Direction::Outbound => self.own < node,
            Direction::Inbound => node < self.own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inbound, Outbound};

    const SMALL: NodeId = NodeId([1; 32]);
    const LARGE: NodeId = NodeId([9; 32]);

    fn table() -> (Table, Instant) {
        (Table::new(NodeId([5; 32]), 2), Instant::now())
    }

    #[test]
    fn of_two_simultaneous_dials_both_ends_keep_the_one_of_the_smaller_node() {
        let (mut table, now) = table();
        assert_eq!(table.admit(SMALL, SessionId(1), Outbound, now), Admission::Welcome);
        let theirs = table.admit(SMALL, SessionId(2), Inbound, now);
        assert_eq!(theirs, Admission::After(SessionId(1)));
        assert_eq!(table.admit(LARGE, SessionId(3), Outbound, now), Admission::Welcome);
        let theirs = table.admit(LARGE, SessionId(4), Inbound, now);
        assert_eq!(theirs, Admission::Refused(Refusal::Duplicate));
    }

    #[test]
    fn a_session_in_use_is_not_given_up_for_a_simultaneous_dial() {
        let (mut table, now) = table();
        table.admit(SMALL, SessionId(1), Outbound, now);
        assert!(table.activate(SMALL, SessionId(1)));
        let theirs = table.admit(SMALL, SessionId(2), Inbound, now);
        assert_eq!(theirs, Admission::Refused(Refusal::Duplicate));
        let later = now + HANDSHAKE_TIMEOUT + Duration::from_secs(1);
        let theirs = table.admit(SMALL, SessionId(3), Inbound, later);
        assert_eq!(theirs, Admission::After(SessionId(1)));
        assert!(!table.end(SMALL, SessionId(1)), "the place is the newer session's");
        assert!(table.end(SMALL, SessionId(3)));
    }

    #[test]
    fn places_are_bounded() {
        let (mut table, now) = table();
        for node in 1..=2 {
            let node = NodeId([node; 32]);
            assert_eq!(table.admit(node, SessionId(1), Inbound, now), Admission::Welcome);
        }
        let third = table.admit(NodeId([3; 32]), SessionId(2), Inbound, now);
        assert_eq!(third, Admission::Refused(Refusal::TooManyPeers));
    }

    #[test]
    fn points_wear_off_and_add_up_to_a_ban() {
        let (mut table, now) = table();
        assert!(!table.penalize(SMALL, 60, now));
        let later = now + Duration::from_secs(30);
        assert!(!table.penalize(SMALL, 60, later));
        assert!(table.penalize(SMALL, 10, later));
        assert!(table.is_banned(SMALL, later));
        let refused = table.admit(SMALL, SessionId(1), Inbound, later);
        assert_eq!(refused, Admission::Refused(Refusal::Banned));
        assert!(!table.is_banned(SMALL, later + BAN_TIME));
    }

    #[test]
    fn records_are_bounded() {
        let (mut table, now) = table();
        for n in 0..2 * SCORES_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            table.penalize(NodeId(id), 1, now);
        }
        assert_eq!(table.records.len(), SCORES_MAX);
    }
}
