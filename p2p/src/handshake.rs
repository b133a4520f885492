//! The handshake on the status lane: both sides say who they are, judge the other and tell the
//! verdict, so that a refusal has the same reason in both logs.

use crate::{
    clock::unix_ms,
    codec::{
        CodecError,
        hello::{Hello, HelloError, Proof, Refusal, decode_verdict, encode_verdict},
    },
    config::ValidatorProof,
    frame::{self, FrameError},
    limits::{CLOSE_TIMEOUT, STATUS_FRAME_BYTES_MAX},
};
use entente_chain::{EnvironmentId, NodeId};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use std::io;
use tokio::time::{Instant, timeout};

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("no handshake in time")]
    TimedOut,
    #[error("malformed handshake")]
    Malformed,
    #[error("refused by us: {0}")]
    Refused(Refusal),
    #[error("refused by the peer: {0}")]
    RefusedByPeer(Refusal),
    #[error("node {got:?} answered, {expected:?} expected")]
    WrongNode { got: NodeId, expected: NodeId },
    #[error("address {0} cannot be resolved")]
    Unresolved(String),
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl HandshakeError {
    /// The reason under which it is counted.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed out",
            Self::Malformed => "malformed",
            Self::Refused(_) => "refused by us",
            Self::RefusedByPeer(_) => "refused by the peer",
            Self::WrongNode { .. } => "wrong node",
            Self::Unresolved(_) => "unresolved",
            Self::Unreachable(_) => "unreachable",
            Self::Io(_) => "connection broken",
        }
    }
}

impl From<FrameError> for HandshakeError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { .. } => Self::Malformed,
            FrameError::Io(cause) => Self::Io(cause),
        }
    }
}

impl From<CodecError> for HandshakeError {
    fn from(_: CodecError) -> Self {
        Self::Malformed
    }
}

/// What every hello is measured against.
pub(crate) struct Expectations {
    pub(crate) own: NodeId,
    pub(crate) environment: EnvironmentId,
    pub(crate) chain_id: u64,
}

impl Expectations {
    /// Judges the node and its hello; cheap checks first.
    pub(crate) fn judge(
        &self,
        node: NodeId,
        hello: &Result<Hello, HelloError>,
    ) -> Result<Option<ValidatorProof>, Refusal> {
        if node == self.own {
            return Err(Refusal::Itself);
        }
        let hello = match hello {
            Ok(hello) => hello,
            Err(HelloError::Version(_)) => return Err(Refusal::Version),
            Err(HelloError::Codec(_)) => return Err(Refusal::Malformed),
        };
        if hello.environment != self.environment.0 {
            return Err(Refusal::Environment);
        }
        if hello.chain_id != self.chain_id {
            return Err(Refusal::ChainId);
        }
        let Some(Proof { address, signature }) = hello.proof.first() else { return Ok(None) };
        let proof = ValidatorProof { address: *address, signature: *signature };
        if proof.holds(self.environment, node) == Ok(true) {
            Ok(Some(proof))
        } else {
            Err(Refusal::Proof)
        }
    }
}

/// Says hello and reads the other's; also estimates its clock against ours, in milliseconds.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    status: &mut S,
    hello: &Hello,
) -> Result<(Result<Hello, HelloError>, i64), HandshakeError> {
    let begun = Instant::now();
    write(status, &hello.encode()).await?;
    let told = Hello::decode(&frame::read(status, STATUS_FRAME_BYTES_MAX).await?);
    // Both write at once, so the other's clock was read about half of this time ago.
    let half = u64::try_from(begun.elapsed().as_millis() / 2).unwrap_or_default();
    let offset = told
        .as_ref()
        .map_or(0, |hello| i128::from(hello.clock_ms) + i128::from(half) - i128::from(unix_ms()));
    Ok((told, i64::try_from(offset).unwrap_or(i64::MAX)))
}

/// Tells our verdict and hears the other's.
pub(crate) async fn conclude<S: AsyncRead + AsyncWrite + Unpin>(
    status: &mut S,
    ours: Result<(), Refusal>,
) -> Result<(), HandshakeError> {
    write(status, &encode_verdict(ours)).await?;
    let theirs = match frame::read(status, STATUS_FRAME_BYTES_MAX).await {
        Ok(bytes) => decode_verdict(&bytes)?,
        // Refused by us: that the other hung up is no news.
        Err(_) if ours.is_err() => Ok(()),
        Err(error) => return Err(error.into()),
    };
    if ours.is_err() {
        // Keeps the socket until the other has read why.
        let _enough_either_way = timeout(CLOSE_TIMEOUT, async {
            status.close().await?;
            status.read(&mut [0]).await
        })
        .await;
    }
    ours.map_err(HandshakeError::Refused)?;
    theirs.map_err(HandshakeError::RefusedByPeer)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> io::Result<()> {
    stream.write_all(&[&frame::header(body.len()), body].concat()).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn hello() -> Hello {
        Hello {
            environment: B256::repeat_byte(1),
            chain_id: 7,
            head_number: 0,
            head_hash: B256::ZERO,
            head_time: 0,
            clock_ms: 0,
            client_version: String::new(),
            proof: Vec::new(),
            neighbours: Vec::new(),
        }
    }

    fn expectations() -> Expectations {
        Expectations {
            own: NodeId([0; 32]),
            environment: EnvironmentId(B256::repeat_byte(1)),
            chain_id: 7,
        }
    }

    #[test]
    fn a_node_of_the_environment_is_welcome() {
        assert_eq!(expectations().judge(NodeId([1; 32]), &Ok(hello())), Ok(None));
    }

    #[test]
    fn every_mismatch_has_its_own_reason() {
        let judge = |node, hello| expectations().judge(NodeId([node; 32]), &hello);
        assert_eq!(judge(0, Ok(hello())), Err(Refusal::Itself));
        assert_eq!(judge(1, Ok(Hello { chain_id: 8, ..hello() })), Err(Refusal::ChainId));
        let other = Hello { environment: B256::ZERO, ..hello() };
        assert_eq!(judge(1, Ok(other)), Err(Refusal::Environment));
        assert_eq!(judge(1, Err(HelloError::Version(2))), Err(Refusal::Version));
        let forged = Proof { address: [9; 20].into(), signature: [1; 65].into() };
        let forged = Hello { proof: vec![forged], ..hello() };
        assert_eq!(judge(1, Ok(forged)), Err(Refusal::Proof));
    }
}
