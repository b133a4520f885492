//! The libp2p stack of one connection: TCP, an optional pre-shared key (pnet), noise, yamux.
//!
//! libp2p's own TCP listener is not used: it sets `SO_REUSEPORT`, so that a second node on a taken
//! port would start and silently steal half of the connections.

use crate::{
    handshake::HandshakeError, key::NodeKey, limits::SUBSTREAMS_MAX, peers::Direction, wire::Lane,
};
use entente_chain::{EnvironmentId, NodeId};
use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        muxing::StreamMuxerBox,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    },
    identity::{Keypair, PublicKey},
    noise,
    pnet::{PnetConfig, PreSharedKey},
    tcp::tokio::TcpStream as CompatStream,
    yamux,
};
use multistream_select::{Negotiated, Version, dialer_select_proto, listener_select_proto};
use std::io;
use tokio::net::TcpStream;

/// A byte stream that libp2p can work on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// What is needed to turn a socket into a connection.
#[derive(Clone)]
pub(crate) struct Transport {
    keypair: Keypair,
    pre_shared_key: Option<PreSharedKey>,
}

impl Transport {
    pub(crate) fn new(key: &NodeKey, pre_shared_key: Option<[u8; 32]>) -> Self {
        Self { keypair: key.keypair(), pre_shared_key: pre_shared_key.map(PreSharedKey::new) }
    }

    /// Authenticates the other side and returns who it is.
    pub(crate) async fn upgrade(
        &self,
        socket: TcpStream,
        direction: Direction,
    ) -> Result<(NodeId, StreamMuxerBox), HandshakeError> {
        socket.set_nodelay(true)?;
        let socket = CompatStream(socket);
        match self.pre_shared_key {
            Some(key) => {
                let secured =
                    PnetConfig::new(key).handshake(socket).await.map_err(io::Error::other)?;
                self.authenticate(secured, direction).await
            }
            None => self.authenticate(socket, direction).await,
        }
    }

    async fn authenticate<S: Stream>(
        &self,
        stream: S,
        direction: Direction,
    ) -> Result<(NodeId, StreamMuxerBox), HandshakeError> {
        let noise = noise::Config::new(&self.keypair).map_err(io::Error::other)?;
        let (peer, stream) = apply(noise, stream, direction).await?;
        let mut yamux = yamux::Config::default();
        yamux.set_max_num_streams(SUBSTREAMS_MAX);
        let muxer = apply(yamux, stream, direction).await?;
        Ok((node_id(&peer)?, StreamMuxerBox::new(muxer)))
    }
}

/// Agrees on the upgrade's protocol name and runs it.
async fn apply<S: Stream, U, T, E>(
    upgrade: U,
    stream: S,
    direction: Direction,
) -> Result<T, HandshakeError>
where
    U: InboundConnectionUpgrade<Negotiated<S>, Output = T, Error = E>
        + OutboundConnectionUpgrade<Negotiated<S>, Output = T, Error = E>
        + UpgradeInfo,
    U::Info: Clone,
    E: std::error::Error + Send + Sync + 'static,
{
    let names = upgrade.protocol_info();
    match direction {
        Direction::Inbound => {
            let (name, stream) = listener_select_proto(stream, names).await.map_err(other)?;
            Ok(upgrade.upgrade_inbound(stream, name).await.map_err(other)?)
        }
        Direction::Outbound => {
            let (name, stream) =
                dialer_select_proto(stream, names, Version::V1).await.map_err(other)?;
            Ok(upgrade.upgrade_outbound(stream, name).await.map_err(other)?)
        }
    }
}

/// Offers one lane on a substream that this side opened.
pub(crate) async fn offer<S: Stream>(
    stream: S,
    lane: Lane,
    environment: EnvironmentId,
) -> Result<Negotiated<S>, HandshakeError> {
    let name = [lane.protocol(environment)];
    Ok(dialer_select_proto(stream, name, Version::V1).await.map_err(other)?.1)
}

/// Agrees on one of some lanes on a substream that the other side opened.
pub(crate) async fn accept<S: Stream>(
    stream: S,
    lanes: &[Lane],
    environment: EnvironmentId,
) -> Result<(Lane, Negotiated<S>), HandshakeError> {
    let names: Vec<String> = lanes.iter().map(|lane| lane.protocol(environment)).collect();
    let (name, stream) = listener_select_proto(stream, &names).await.map_err(other)?;
    lanes
        .iter()
        .find(|lane| lane.protocol(environment) == *name)
        .map(|lane| (*lane, stream))
        .ok_or(HandshakeError::Malformed)
}

fn other<E: std::error::Error + Send + Sync + 'static>(cause: E) -> HandshakeError {
    HandshakeError::Io(io::Error::other(cause))
}

/// The ed25519 key inside a peer id: libp2p inlines keys this short (identity multihash).
fn node_id(peer: &PeerId) -> Result<NodeId, HandshakeError> {
    PublicKey::try_decode_protobuf(peer.as_ref().digest())
        .ok()
        .and_then(|key| key.try_into_ed25519().ok())
        .map(|key| NodeId(key.to_bytes()))
        .ok_or(HandshakeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_leads_back_to_the_node_id() {
        let key = NodeKey::generate();
        let peer = key.keypair().public().to_peer_id();
        assert_eq!(node_id(&peer).expect("ed25519"), key.node_id());
    }

    #[test]
    fn a_peer_id_of_another_key_type_is_refused() {
        assert!(node_id(&PeerId::random()).is_err());
    }
}
