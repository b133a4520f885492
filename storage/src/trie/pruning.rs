//! Bounds the nodes in memory: subtrees that are on disk can be let go and read again.

use super::node::{Branch, Child, Kind};
use std::sync::Arc;

/// Nodes in memory below and with `child`.
pub(crate) fn resident_nodes(child: &Child) -> usize {
    let Child::Resident(node) = child else { return 0 };
    1 + match &node.kind {
        Kind::Leaf { .. } => 0,
        Kind::Extension { child, .. } => resident_nodes(child),
        Kind::Branch(branch) => branch.children().iter().map(resident_nodes).sum(),
    }
}

/// The same trie with every node more than `depth` nodes below this one let go. All of it must be
/// on disk.
pub(crate) fn without_depth(child: &Child, depth: usize) -> Child {
    let Child::Resident(node) = child else { return child.clone() };
    let Some(below) = depth.checked_sub(1) else {
        return if node.has_record() { Child::Stored(node.hash()) } else { child.clone() };
    };
    let kind = match &node.kind {
        Kind::Leaf { .. } => return child.clone(),
        Kind::Extension { key, child } => {
            Kind::Extension { key: *key, child: without_depth(child, below) }
        }
        Kind::Branch(branch) => {
            Kind::Branch(Branch::new(branch.slots().map(|child| without_depth(child, below))))
        }
    };
    Child::Resident(Arc::new(node.with_kind(kind)))
}
