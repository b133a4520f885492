//! What does not keep to the protocol.

use crate::net::{Node, config, pair, told_or_lost};
use alloy_primitives::Bytes;
use entente_chain::limits::TRANSACTIONS_FRAME_BYTES_MAX;
use entente_p2p::{Channel, DisconnectReason, Farewell};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_one_byte_over_the_limit_ends_the_session() {
    let (mut one, mut two) = pair().await;
    let frame = Bytes::from(vec![0; TRANSACTIONS_FRAME_BYTES_MAX + 1]);
    two.handle.broadcast(Channel::Transactions, &frame);
    let reason = DisconnectReason::ByUs(Farewell::FrameTooLarge);
    assert_eq!(one.disconnected().await, (two.id(), reason));
    let (node, reason) = two.disconnected().await;
    assert_eq!(node, one.id());
    assert!(told_or_lost(&reason, Farewell::FrameTooLarge), "{reason:?}");
    // The second time it is a ban.
    two.connected().await;
    two.handle.broadcast(Channel::Transactions, &frame);
    one.counted(|now| now.bans == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_and_garbage_do_not_disturb() {
    let mut one = Node::start(config(&[]));
    let mut silent = Vec::new();
    // More than may be pending: the oldest are closed to let others in.
    for _ in 0..100 {
        silent.push(TcpStream::connect(one.socket()).await.expect("connected"));
    }
    let tls_hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for garbage in [tls_hello, b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], &[0; 1]] {
        let mut socket = TcpStream::connect(one.socket()).await.expect("connected");
        socket.write_all(garbage).await.expect("written");
        silent.push(socket);
    }
    let mut two = Node::start(config(&[&one]));
    two.connected().await;
    one.connected().await;
    two.handle.broadcast(Channel::Consensus, &Bytes::from_static(b"vote"));
    assert_eq!(one.consensus().await.1, Bytes::from_static(b"vote"));
    let mut oldest = silent.swap_remove(0);
    let mut rest = Vec::new();
    // Closed or reset, in any case over.
    drop(oldest.read_to_end(&mut rest).await);
    one.counted(|now| now.handshakes_failed.values().sum::<u64>() >= 40).await;
}
