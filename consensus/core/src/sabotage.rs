//! Known bugs of consensus engines, to be switched on: a simulator that does not find them proves
//! nothing. Compiled in with the feature `sabotage` only; a node refuses to be built with it.

/// A bug that others had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// IBFT: round changes for another height or round justify a proposal (electroneum-sc#64).
    StaleJustification,
    /// IBFT: a block need not be the one with the highest prepared round (charon#540).
    AnyPrepared,
    /// IBFT: one validator's round change moves everybody, however far (GHSA-23rh-rrqg-wq82).
    FollowOne,
    /// IBFT: round timers start alone, and validators in later rounds are not followed (Besu
    /// without `isEarlyRoundChangeEnabled`, besu#7642).
    LonelyRounds,
    /// IBFT: a commit without a quorum of prepares (sigp/anchor#549 took such for prepared).
    Unprepared,
    /// IBFT: a round change does not name what was prepared before (locks of arXiv 1901.07160).
    ForgottenLock,
    /// Clique: whoever is on a branch stays there, however heavy another one is.
    OwnBranch,
    /// IBFT: one seal less than a quorum will do.
    FewSeals,
    /// IBFT: the next block does not wait for its period.
    Hasty,
    /// Clique: everybody claims to be in turn.
    AlwaysInTurn,
    /// Clique: no block is a checkpoint.
    NoCheckpoints,
    /// Clique: two branches are taken for a breach by whoever sealed the later block.
    BlameAnybody,
    /// Block sync asks nobody.
    NoSync,
    /// Clique: whoever sealed a moment ago seals again (EIP-225).
    SigningLimit,
    /// Header votes: every vote counts twice.
    VotesTwice,
}

/// Whether bugs can be switched on in this build.
pub const COMPILED_IN: bool = cfg!(feature = "sabotage");

#[cfg(feature = "sabotage")]
thread_local! {
    static SWITCHED_ON: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on for this thread, or all off.
#[cfg(feature = "sabotage")]
pub fn switch(bug: Option<Bug>) {
    SWITCHED_ON.set(bug);
}

/// Whether a bug is on; never in a build without the feature.
#[cfg(feature = "sabotage")]
pub(crate) fn is_on(bug: Bug) -> bool {
    SWITCHED_ON.get() == Some(bug)
}

/// Whether a bug is on: never in this build.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is_on(_: Bug) -> bool {
    false
}
