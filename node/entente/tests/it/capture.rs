//! Everything that nodes say to each other, recorded between them: every node reaches its peers
//! through a relay.

use crate::http::pause;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

/// What went one way through one connection.
type Stream = Arc<Mutex<Vec<u8>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Relays until it is dropped.
pub(crate) struct Capture {
    streams: Arc<Mutex<Vec<Stream>>>,
    stopped: Arc<AtomicBool>,
}

impl Capture {
    /// Puts a relay in front of every peer that the nodes of a new network are configured with.
    pub(crate) fn between(net: &Path, nodes: u16) -> Self {
        let capture = Self { streams: Arc::default(), stopped: Arc::default() };
        let mut relays = BTreeMap::new();
        for node in 0..nodes {
            let path = net.join(format!("node-{node}")).join("node.toml");
            let text = fs::read_to_string(&path).expect("node.toml");
            let (before, rest) = text.split_once("\npeers = [").expect("peers");
            let (peers, after) = rest.split_once(']').expect("a list");
            let relayed =
                peers.split(',').map(str::trim).filter(|peer| !peer.is_empty()).map(|peer| {
                    let (id, address) = peer.trim_matches('"').split_once('@').expect("a peer");
                    let relay = relays
                        .entry(address.to_owned())
                        .or_insert_with_key(|address| capture.relay(address.clone()));
                    format!("\"{id}@{relay}\"")
                });
            let relayed: Vec<_> = relayed.collect();
            let text = format!("{before}\npeers = [{}]{after}", relayed.join(", "));
            fs::write(&path, text).expect("written");
        }
        assert_eq!(relays.len(), usize::from(nodes));
        capture
    }

    /// Starts a relay; answers its address.
    fn relay(&self, target: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address").to_string();
        let (streams, stopped) = (Arc::clone(&self.streams), Arc::clone(&self.stopped));
        thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let Ok((accepted, _)) = listener.accept() else {
                    pause();
                    continue;
                };
                // A node that is not up yet: whoever called tries again.
                let Ok(other) = TcpStream::connect(&target) else { continue };
                accepted.set_nonblocking(false).expect("set");
                for stream in [&accepted, &other] {
                    stream.set_nodelay(true).expect("set");
                }
                for (from, to) in [(&accepted, &other), (&other, &accepted)] {
                    let (from, to) = (from.try_clone(), to.try_clone());
                    let stream = Stream::default();
                    locked(&streams).push(Arc::clone(&stream));
                    thread::spawn(move || pass(from.expect("open"), to.expect("open"), &stream));
                }
            }
        });
        address
    }

    /// In how many streams some bytes are.
    pub(crate) fn streams_with(&self, bytes: &[u8]) -> usize {
        let streams = locked(&self.streams);
        let has =
            |stream: &&Stream| locked(stream).windows(bytes.len()).any(|window| window == bytes);
        streams.iter().filter(has).count()
    }
}

/// Nodes that stop end the connections; nothing is left to do but to take no more.
impl Drop for Capture {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, stream: &Stream) {
    let mut part = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut part) {
        locked(stream).extend_from_slice(&part[..count]);
        if to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    // The other side learns of the end; it may have learnt of it already.
    to.shutdown(Shutdown::Both).ok();
}
