//! Proposal phase: builds and proposes when it is our turn, accepts what others propose.

use super::{
    Ibft, Outcome,
    height::{Height, Progress},
    justification::Justified,
    payload::{Kind, ProposalPayload, Signed, View},
    wire::{Message, Proposal, RoundChange},
};
use crate::{
    engine::{Action, BuildAttributes, BuildId, Now, Step},
    rules::MIX_HASH,
};
use alloy_primitives::{Address, U256};
use entente_chain::{
    Header, RecoveredBlock, extra_data::qbft::Vote, limits::BACKLOG_PER_VALIDATOR,
};
use std::time::Duration;

/// How far ahead of our clock a proposal may be stamped, in milliseconds. Clocks under NTP differ
/// by far less; virtual machines that just woke up are off by seconds and must not lose their
/// turn; contracts that look at the time can be misled by no more than this.
const CLOCK_DRIFT_MS_MAX: u64 = 5_000;
/// Pause before a block is asked for again.
const BUILD_RETRY_MS: u64 = 250;
/// Pause before execution is asked for again.
pub(super) const EXECUTE_RETRY_MS: u64 = 500;

impl Ibft {
    /// Proposes, or asks for a block to propose, when it is our turn and time.
    pub(super) fn propose(&mut self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        let round = &height.round;
        let idle = round.accepted.is_none() && round.building.is_none();
        let ours = height.voter == Some(height.proposer(round.number));
        if !idle || !ours || round.since.is_none() || now.elapsed < round.build_after {
            return false;
        }
        if height.promises.sent.contains_key(&(round.number, Kind::Proposal)) {
            // Proposed before a restart; another block of ours would be equivocation.
            return false;
        }
        if round.number > 0 {
            if height.changes_to_this_round().count() < height.quorum {
                return false;
            }
            if let Some(block) = highest_prepared(height) {
                // Who cannot execute it goes to its parent first.
                return height.lies_on_parent(&block)
                    && self.send_proposal(height, &block, now, out);
            }
        }
        self.ask_for_block(height, now, out)
    }

    fn ask_for_block(&mut self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        let Some(own) = height.voter else { return false };
        self.builds = self.builds.wrapping_add(1);
        let request = BuildId(self.builds);
        let from_contract = height.rules.validator_contract.is_some();
        let (validators, vote): (Vec<Address>, Option<Vote>) = match from_contract {
            true => (Vec::new(), None),
            false => (
                height.validators.addresses().to_vec(),
                self.operator_votes.next(&height.validators, self.builds),
            ),
        };
        let vanity = self.settings.vanity;
        let round = height.round.number;
        let draft = height.format.draft(vanity, validators, vote, round, own);
        height.round.building = Some(request);
        out.then(Action::Build {
            request,
            attributes: BuildAttributes {
                parent: height.parent.hash(),
                number: height.number,
                timestamp: height.earliest().max(height.stamp(now.unix)),
                beneficiary: draft.beneficiary,
                extra_data: draft.extra_data,
                nonce: draft.nonce,
                difficulty: U256::ONE,
                time_limit: build_time(height),
            },
        });
        true
    }

    /// Takes a block that was built for us.
    pub(super) fn on_built(
        &mut self,
        request: BuildId,
        block: Result<RecoveredBlock, String>,
        now: Now,
        out: &mut Step,
    ) {
        let Some(mut height) = self.height.take() else { return };
        if height.round.building == Some(request) {
            height.round.building = None;
            height.round.build_after = now.elapsed.saturating_add(BUILD_RETRY_MS);
            let round = height.round.number;
            if let (Ok(block), Some(signer)) = (block, &self.signer)
                && let Ok(block) = height.format.propose(block, signer)
                && height.decided.is_none()
                && height.round.accepted.is_none()
                && self.may_propose(&height, &block, now)
            {
                // Building executed it.
                let digest = block.hash();
                if height.known(digest).is_none() {
                    height.remember(block.clone(), Progress::Valid);
                }
                let late = highest_prepared(&height).filter(|_| round > 0);
                let block = late.unwrap_or(block);
                if height.lies_on_parent(&block) {
                    self.send_proposal(&mut height, &block, now, out);
                }
            }
        }
        self.height = Some(height);
    }

    /// Whether a built block is still wanted. On demand an empty one is not: what waited went into
    /// the block before. From round 1 on any block is better than none.
    fn may_propose(&self, height: &Height, block: &RecoveredBlock, now: Now) -> bool {
        let round = height.round.number;
        let wanted = match round {
            0 => !block.transactions().is_empty() || height.empty_block_is_due(now),
            _ => height.changes_to_this_round().count() >= height.quorum,
        };
        wanted && check_content(height, block, round).is_ok()
    }

    fn send_proposal(
        &mut self,
        height: &mut Height,
        block: &RecoveredBlock,
        now: Now,
        out: &mut Step,
    ) -> bool {
        let round = height.round.number;
        let digest = block.hash();
        let Some(signer) = self.signer.clone() else { return false };
        let Ok(block) = height.format.resealed(block, round, Vec::new()) else { return false };
        let changes: Vec<&RoundChange> = match round {
            0 => Vec::new(),
            _ => height.changes_to_this_round().collect(),
        };
        let prepares = changes
            .iter()
            .filter(|change| change.signed.payload().prepared.is_some())
            .max_by_key(|change| change.signed.payload().prepared)
            .map(|change| change.prepares.clone())
            .unwrap_or_default();
        let round_changes = changes.iter().map(|change| change.signed.clone()).collect();
        if !height.promise(Kind::Proposal, digest, out) {
            return false;
        }
        let view = View { height: height.number, round };
        let payload = ProposalPayload { view, digest };
        let signed = Signed::sign(payload, self.settings.environment, &signer);
        let proposal = Box::new(Proposal { signed, block, round_changes, prepares });
        send(Message::Proposal(proposal.clone()), out);
        height.votes.named.insert(round, digest);
        let block = proposal.block.clone();
        height.round.proposal = Some(proposal);
        height.accept(block, now, out);
        true
    }

    /// Takes a proposal of another validator.
    pub(super) fn on_proposal(
        &mut self,
        height: &mut Height,
        proposal: &Proposal,
        now: Now,
        out: &mut Step,
    ) -> Outcome {
        let ProposalPayload { view, digest } = *proposal.signed.payload();
        let author = proposal.signed.author();
        if author != height.proposer(view.round) {
            return Outcome::Refused("a proposal is not of the proposer of its round");
        }
        match height.votes.named.get(&view.round) {
            Some(earlier) if *earlier != digest => {
                let what = "proposed two blocks in one round";
                height.report(author, Kind::Proposal, view.round, (what, *earlier, digest), out);
                return Outcome::Ignored;
            }
            Some(_) => {}
            None => {
                height.votes.named.insert(view.round, digest);
                if height.votes.named.len() > BACKLOG_PER_VALIDATOR {
                    height.votes.named.pop_first();
                }
            }
        }
        let current = height.round.number;
        if view.round < current || (view.round == current && height.round.accepted.is_some()) {
            return Outcome::Known;
        }
        let justified = match height.voters().check_proposal(proposal) {
            Ok(justified) => justified,
            Err(reason) => return Outcome::Refused(reason),
        };
        if let Err(reason) = check_content(height, &proposal.block, view.round) {
            return Outcome::Refused(reason);
        }
        if justified == Justified::Fresh {
            let stamped = height.unix_millis(proposal.block.header.timestamp);
            self.note_clock(author, stamped, now);
            // A quorum has judged the time of a prepared block already.
            if height.format.proposer(&proposal.block.header) != Some(author) {
                return Outcome::Refused("a new block does not name its proposer");
            }
            if stamped > now.unix.saturating_add(CLOCK_DRIFT_MS_MAX) {
                return Outcome::Ignored;
            }
        }
        if view.round > current {
            height.enter_round(view.round, now);
        }
        height.accept(proposal.block.clone(), now, out);
        Outcome::New
    }

    fn note_clock(&mut self, author: Address, stamped: u64, now: Now) {
        let difference = i128::from(stamped) - i128::from(now.unix);
        let offset = i64::try_from(difference).unwrap_or(i64::MAX);
        self.peers.set_clock_offset(author, offset);
    }
}

impl Height {
    /// Makes a block the proposal of this round, and has it executed if that was not done.
    pub(super) fn accept(&mut self, block: RecoveredBlock, now: Now, out: &mut Step) {
        let digest = block.hash();
        self.round.accepted = Some(digest);
        self.round.building = None;
        if self.round.since.is_none() {
            self.round.since = Some(now.elapsed);
        }
        self.round.resend_at = now.elapsed.saturating_add(self.resend_interval());
        // besu#7875: a block that is proposed again was executed before.
        if self.known(digest).is_none() {
            out.then(Action::Execute(block.clone()));
            self.remember(block, Progress::Running);
        }
    }
}

pub(super) fn send(message: Message, out: &mut Step) {
    let message = crate::Message::Ibft(message);
    out.then(Action::Send { to: crate::engine::Recipients::Everyone, message });
}

/// `isHighestPrepared`: the block of the round change with the highest prepared round.
fn highest_prepared(height: &Height) -> Option<RecoveredBlock> {
    height
        .changes_to_this_round()
        .filter(|change| change.signed.payload().prepared.is_some())
        .max_by_key(|change| change.signed.payload().prepared)
        .and_then(|change| change.block.clone())
}

/// What a proposed header must say whatever its transactions are. The full header rules belong to
/// whoever executes it; these are the ones that consensus itself relies on.
fn check_content(height: &Height, block: &RecoveredBlock, round: u64) -> Result<(), &'static str> {
    let header: &Header = &block.header;
    let follows = header.number == height.number && header.parent_hash == height.parent.hash();
    if !follows {
        return Err("the block does not follow the head");
    }
    let expected = match height.rules.validator_contract {
        Some(_) => &[],
        None => height.validators.addresses(),
    };
    height.format.check(&block.header, round, expected)?;
    let proposer = height.format.proposer(header);
    if proposer.is_none_or(|proposer| !height.validators.contains(proposer)) {
        return Err("the block's proposer is not a validator");
    }
    if header.difficulty != U256::ONE || header.mix_hash != MIX_HASH {
        return Err("difficulty or mixHash are not IBFT's");
    }
    if header.timestamp < height.earliest() {
        return Err("the block is stamped before its period is over");
    }
    Ok(())
}

/// Half a period, and no more than a quarter of the round: the others must execute it as well.
fn build_time(height: &Height) -> Duration {
    let half_a_period = (height.rules.block_period_ms / 2).max(BUILD_RETRY_MS);
    Duration::from_millis(half_a_period.min(height.rules.request_timeout_ms / 4).max(50))
}
