//! What validators sign. The signed bytes are RLP of `[code, payload]` (QBFT messages 0x12 to
//! 0x15), so a signature under one type means nothing under another; every payload begins with
//! environment, height and round, so it means nothing elsewhere.

use crate::message::AdmissionError;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    BlockNumber, EnvironmentId, extra_data::qbft::Seal, limits::ROUND_MAX, seal::recover_seal,
    signer::SealSigner,
};

/// Longest signed payload in bytes, signature included; a commit has 300.
const SIGNED_BYTES_MAX: usize = 512;

/// A round of a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    /// Height of the block that is being decided.
    pub height: BlockNumber,
    /// Attempt to decide it, from 0.
    pub round: u64,
}

/// The four message types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The proposer names a block.
    Proposal,
    /// A validator holds the proposal for valid.
    Prepare,
    /// A validator saw a quorum of prepares, and seals the block.
    Commit,
    /// A validator gave up on the rounds before.
    RoundChange,
}

impl Kind {
    /// GoQuorum's and Besu's message code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Proposal => 0x12,
            Self::Prepare => 0x13,
            Self::Commit => 0x14,
            Self::RoundChange => 0x15,
        }
    }

    /// The type behind a code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0x12 => Some(Self::Proposal),
            0x13 => Some(Self::Prepare),
            0x14 => Some(Self::Commit),
            0x15 => Some(Self::RoundChange),
            _ => None,
        }
    }
}

/// A signed statement about a view.
pub trait Payload: Clone {
    /// Its message type.
    const KIND: Kind;
    /// What it is about.
    fn view(&self) -> View;
    /// Writes what follows environment, height and round.
    fn encode_rest(&self, out: &mut Vec<u8>);
    /// Reads what [`Payload::encode_rest`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    fn decode_rest(view: View, fields: &mut &[u8]) -> alloy_rlp::Result<Self>;
}

/// The proposer names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalPayload {
    /// What it is about.
    pub view: View,
    /// Block hash.
    pub digest: B256,
}

/// A validator holds the proposal for valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparePayload {
    /// What it is about.
    pub view: View,
    /// Block hash.
    pub digest: B256,
}

/// A validator seals a prepared block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPayload {
    /// What it is about.
    pub view: View,
    /// Block hash.
    pub digest: B256,
    /// What the seal signs: the header with this round, without seals. Named here so that the seal
    /// can be checked without the block; the engine compares it with the block's.
    pub seal_digest: B256,
    /// The seal that goes into the block.
    pub seal: Seal,
}

/// A validator gave up on the rounds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundChangePayload {
    /// Height, and the round it wants.
    pub view: View,
    /// Highest round in which it saw a quorum of prepares, and for which block.
    pub prepared: Option<(u64, B256)>,
}

impl Payload for ProposalPayload {
    const KIND: Kind = Kind::Proposal;

    fn view(&self) -> View {
        self.view
    }

    fn encode_rest(&self, out: &mut Vec<u8>) {
        self.digest.encode(out);
    }

    fn decode_rest(view: View, fields: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Ok(Self { view, digest: B256::decode(fields)? })
    }
}

impl Payload for PreparePayload {
    const KIND: Kind = Kind::Prepare;

    fn view(&self) -> View {
        self.view
    }

    fn encode_rest(&self, out: &mut Vec<u8>) {
        self.digest.encode(out);
    }

    fn decode_rest(view: View, fields: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Ok(Self { view, digest: B256::decode(fields)? })
    }
}

impl Payload for CommitPayload {
    const KIND: Kind = Kind::Commit;

    fn view(&self) -> View {
        self.view
    }

    fn encode_rest(&self, out: &mut Vec<u8>) {
        self.digest.encode(out);
        self.seal_digest.encode(out);
        self.seal.encode(out);
    }

    fn decode_rest(view: View, fields: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let digest = B256::decode(fields)?;
        let seal_digest = B256::decode(fields)?;
        Ok(Self { view, digest, seal_digest, seal: Seal::decode(fields)? })
    }
}

impl Payload for RoundChangePayload {
    const KIND: Kind = Kind::RoundChange;

    fn view(&self) -> View {
        self.view
    }

    fn encode_rest(&self, out: &mut Vec<u8>) {
        match &self.prepared {
            None => Header { list: true, payload_length: 0 }.encode(out),
            Some((round, digest)) => {
                let payload_length = round.length() + digest.length();
                Header { list: true, payload_length }.encode(out);
                round.encode(out);
                digest.encode(out);
            }
        }
    }

    fn decode_rest(view: View, fields: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut prepared = Header::decode_bytes(fields, true)?;
        if prepared.is_empty() {
            return Ok(Self { view, prepared: None });
        }
        let round = u64::decode(&mut prepared)?;
        let digest = B256::decode(&mut prepared)?;
        nothing_left(prepared)?;
        Ok(Self { view, prepared: Some((round, digest)) })
    }
}

/// A payload with a good signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<P> {
    payload: P,
    author: Address,
    encoded: Bytes,
}

impl<P: Payload> Signed<P> {
    /// Signs a payload.
    pub fn sign(payload: P, environment: EnvironmentId, signer: &SealSigner) -> Self {
        let body = encode_payload(&payload, environment);
        let signature = signer.sign(signing_digest(P::KIND, &body));
        let mut encoded = Vec::with_capacity(body.len() + 72);
        let payload_length = body.len() + signature.length();
        Header { list: true, payload_length }.encode(&mut encoded);
        encoded.extend_from_slice(&body);
        signature.encode(&mut encoded);
        Self { payload, author: signer.address(), encoded: encoded.into() }
    }

    /// The statement.
    pub const fn payload(&self) -> &P {
        &self.payload
    }

    /// Who made it.
    pub const fn author(&self) -> Address {
        self.author
    }

    /// RLP of `[payload, signature]`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encoded);
    }

    pub(super) fn encoded_length(&self) -> usize {
        self.encoded.len()
    }
}

/// A decoded payload whose signature was not looked at yet.
pub(super) struct Unverified<P> {
    pub(super) payload: P,
    digest: B256,
    signature: Seal,
    encoded: Bytes,
}

impl<P: Payload> Unverified<P> {
    /// Decodes RLP of `[payload, signature]`; checks environment and rounds.
    pub(super) fn decode(
        buf: &mut &[u8],
        environment: EnvironmentId,
    ) -> Result<Self, AdmissionError> {
        let before = *buf;
        let mut outer = Header::decode_bytes(buf, true)?;
        let taken = before.len() - buf.len();
        let raw = before.get(..taken).unwrap_or_default();
        if raw.len() > SIGNED_BYTES_MAX {
            let got = raw.len();
            let what = "bytes of a signed payload";
            return Err(AdmissionError::TooMany { what, got, allowed: SIGNED_BYTES_MAX });
        }
        let body_start = outer;
        let mut fields = Header::decode_bytes(&mut outer, true)?;
        let body = body_start.get(..body_start.len() - outer.len()).unwrap_or_default();
        let signature = Seal::decode(&mut outer)?;
        nothing_left(outer)?;
        if B256::decode(&mut fields)? != environment.0 {
            return Err(AdmissionError::OtherEnvironment);
        }
        let height = u64::decode(&mut fields)?;
        let round = u64::decode(&mut fields)?;
        // GHSA-23rh: a round number from outside is bounded before it is worked with.
        if round > ROUND_MAX {
            return Err(AdmissionError::Round { got: round, allowed: ROUND_MAX });
        }
        let payload = P::decode_rest(View { height, round }, &mut fields)?;
        nothing_left(fields)?;
        let digest = signing_digest(P::KIND, body);
        Ok(Self { payload, digest, signature, encoded: Bytes::copy_from_slice(raw) })
    }

    /// Recovers the author.
    pub(super) fn verify(self) -> Result<Signed<P>, AdmissionError> {
        let author =
            recover_seal(&self.signature, self.digest).map_err(|_| AdmissionError::Signature)?;
        Ok(Signed { payload: self.payload, author, encoded: self.encoded })
    }
}

pub(super) fn nothing_left(rest: &[u8]) -> alloy_rlp::Result<()> {
    match rest.is_empty() {
        true => Ok(()),
        false => Err(alloy_rlp::Error::Custom("trailing bytes")),
    }
}

fn encode_payload<P: Payload>(payload: &P, environment: EnvironmentId) -> Vec<u8> {
    let view = payload.view();
    let mut fields = Vec::with_capacity(256);
    environment.0.encode(&mut fields);
    view.height.encode(&mut fields);
    view.round.encode(&mut fields);
    payload.encode_rest(&mut fields);
    let mut out = Vec::with_capacity(fields.len() + 4);
    Header { list: true, payload_length: fields.len() }.encode(&mut out);
    out.extend_from_slice(&fields);
    out
}

fn signing_digest(kind: Kind, body: &[u8]) -> B256 {
    let code = kind.code();
    let mut bytes = Vec::with_capacity(body.len() + 8);
    Header { list: true, payload_length: code.length() + body.len() }.encode(&mut bytes);
    code.encode(&mut bytes);
    bytes.extend_from_slice(body);
    keccak256(bytes)
}
