//! Names on the wire: the lanes of a connection and their protocol names.

use entente_chain::EnvironmentId;

/// A kind of frame with its own substream, queue and limits, so that a flood of one kind cannot
/// delay another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Votes and proposals.
    Consensus,
    /// Batches of pending transactions.
    Transactions,
    /// Payloads of private transactions, between the nodes of their parties.
    Payloads,
}

impl Channel {
    /// The lane that carries the channel.
    pub(crate) const fn lane(self) -> Lane {
        match self {
            Self::Consensus => Lane::Consensus,
            Self::Transactions => Lane::Transactions,
            Self::Payloads => Lane::Payloads,
        }
    }
}

/// Every substream of a connection: the channels, and what this crate speaks by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Handshake, heads, neighbours, goodbyes.
    Status,
    /// [`Channel::Consensus`].
    Consensus,
    /// [`Channel::Transactions`].
    Transactions,
    /// Requests for blocks and their answers.
    Blocks,
    /// [`Channel::Payloads`].
    Payloads,
}

impl Lane {
    /// All lanes, in the order in which they are opened.
    pub const ALL: [Self; 5] =
        [Self::Status, Self::Consensus, Self::Transactions, Self::Blocks, Self::Payloads];

    /// The name in protocol names, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Consensus => "consensus",
            Self::Transactions => "transactions",
            Self::Blocks => "blocks",
            Self::Payloads => "payloads",
        }
    }

    /// The libp2p protocol name. The status lane carries no environment: two nodes of different
    /// environments must be able to tell each other why they part.
    pub(crate) fn protocol(self, environment: EnvironmentId) -> String {
        match self {
            Self::Status => "/entente/1/status".to_owned(),
            Self::Consensus | Self::Transactions | Self::Blocks | Self::Payloads => {
                format!("/entente/1/{:x}/{}", environment.0, self.name())
            }
        }
    }
}
