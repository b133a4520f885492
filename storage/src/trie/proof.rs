//! Merkle proofs (EIP-1186).

use super::{
    cursor::NodeReader,
    node::{Child, Kind},
};
use crate::StoreError;
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;

/// The nodes from the root towards a key, and the value there. Without such a key the nodes show
/// where its path ends; an empty trie has none.
pub(crate) fn prove(
    nodes: NodeReader<'_>,
    root: &Child,
    key: B256,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), StoreError> {
    let mut proof = Vec::new();
    let key = Nibbles::unpack(key);
    let mut path = Nibbles::new();
    let mut child = root.clone();
    while let Some(node) = nodes.resolve(&path, &child)? {
        // A node inside its parent was shown with it; the root is shown in any case.
        if node.has_record() || path.is_empty() {
            proof.push(node.rlp().into());
        }
        let rest = key.slice(path.len()..);
        child = match &node.kind {
            Kind::Leaf { key, value } => {
                let value = (*key == rest).then(|| value.to_vec());
                return Ok((proof, value));
            }
            Kind::Extension { key, child } => {
                if !rest.starts_with(key) {
                    return Ok((proof, None));
                }
                path.extend(key);
                child.clone()
            }
            Kind::Branch(branch) => {
                let Some(nibble) = rest.first() else { return Ok((proof, None)) };
                path.push(nibble);
                branch.child(nibble).clone()
            }
        };
    }
    Ok((proof, None))
}
