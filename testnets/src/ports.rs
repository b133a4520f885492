//! Which ports a network takes, and whether they are free.

use crate::{error::TestnetError, layout::Layout, options::VALIDATORS_MAX};
use std::net::{Ipv4Addr, TcpListener};

/// HTTP and WebSocket port of node `index`. The options were checked, so nothing overflows.
pub(crate) const fn rpc(base_port: u16, index: u16) -> u16 {
    base_port.saturating_add(index)
}

/// Port of the network protocol of node `index`.
pub(crate) const fn p2p(base_port: u16, index: u16) -> u16 {
    base_port.saturating_add(VALIDATORS_MAX).saturating_add(index)
}

/// Binds every port for a moment, so that a taken one is named before any process starts.
pub(crate) fn probe(layout: &Layout) -> Result<(), TestnetError> {
    let listeners = layout.nodes().iter().flat_map(|node| {
        [(node.rpc_port, "HTTP and WebSocket"), (node.p2p_port, "network")]
            .map(|(port, purpose)| (port, format!("{purpose} of {}", node.name)))
    });
    for (port, purpose) in listeners {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|cause| TestnetError::Port {
            port,
            purpose,
            cause,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TestnetOptions;
    use std::collections::BTreeSet;

    #[test]
    fn all_ports_differ_and_lie_within_fifty() {
        let options = TestnetOptions { validators: VALIDATORS_MAX, ..TestnetOptions::new("x") };
        let layout = Layout::new(&options).unwrap();
        let ports: BTreeSet<u16> =
            layout.nodes().iter().flat_map(|node| [node.rpc_port, node.p2p_port]).collect();
        assert_eq!(ports.len(), 2 * usize::from(VALIDATORS_MAX));
        assert!(ports.iter().all(|port| (8545..8545 + 50).contains(port)));
    }

    #[test]
    fn taken_port_is_named_with_its_use() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        // The first node's HTTP port is the taken one; the others do not matter.
        let options = TestnetOptions { base_port: port, validators: 1, ..TestnetOptions::new("x") };
        let Ok(layout) = Layout::new(&options) else { return };
        let text = probe(&layout).unwrap_err().to_string();
        assert!(text.starts_with(&format!("port {port} (HTTP and WebSocket of node-0)")), "{text}");
    }
}
