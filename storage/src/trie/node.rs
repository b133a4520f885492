//! Nodes and their RLP (Yellow Paper, appendix D).

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{BufMut, EMPTY_STRING_CODE, Encodable, Header, PayloadView};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    nodes::{RlpNode, encode_path_leaf},
};
use std::sync::Arc;

/// What stands where a node may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Child {
    /// Nothing.
    #[default]
    Empty,
    /// A node that is on disk, known by its hash.
    Stored(B256),
    /// A node in memory.
    Resident(Arc<Node>),
}

impl Child {
    /// Whether the node has a record of its own on disk: nodes shorter than 32 bytes live inside
    /// their parents.
    pub(crate) fn has_record(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Stored(_) => true,
            Self::Resident(node) => node.has_record(),
        }
    }
}

/// A node with what its parent says of it: its RLP, or the hash of it from 32 bytes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    reference: RlpNode,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The rest of the key, and the value.
    Leaf { key: Nibbles, value: Box<[u8]> },
    /// A part of the key that all below share; the child is always a branch.
    Extension { key: Nibbles, child: Child },
    /// One child per nibble; all keys have one length, so a branch never has a value.
    Branch(Branch),
}

/// Children of a branch, only those that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    mask: u16,
    children: Box<[Child]>,
}

impl Branch {
    pub(crate) fn new(children: impl IntoIterator<Item = Child>) -> Self {
        let mut mask = 0;
        let mut present = Vec::with_capacity(16);
        for (nibble, child) in children.into_iter().take(16).enumerate() {
            if child != Child::Empty {
                mask |= 1 << nibble;
                present.push(child);
            }
        }
        Self { mask, children: present.into() }
    }

    /// The child at a nibble.
    pub(crate) fn child(&self, nibble: u8) -> &Child {
        const EMPTY: &Child = &Child::Empty;
        let bit = 1_u16 << (nibble & 15);
        if self.mask & bit == 0 {
            return EMPTY;
        }
        let before = (self.mask & (bit - 1)).count_ones();
        self.children.get(before as usize).unwrap_or(EMPTY)
    }

    /// The children that exist.
    pub(crate) fn children(&self) -> &[Child] {
        &self.children
    }

    /// All sixteen children.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Child> {
        (0..16).map(|nibble| self.child(nibble))
    }
}

impl Node {
    /// Pairs a node with its reference; returns its RLP too.
    pub(crate) fn seal(kind: Kind) -> (Self, Vec<u8>) {
        let rlp = kind.encode();
        let reference = RlpNode::from_rlp(&rlp);
        (Self { kind, reference }, rlp)
    }

    /// The same node with other forms of the same children.
    pub(crate) fn with_kind(&self, kind: Kind) -> Self {
        Self { kind, reference: self.reference.clone() }
    }

    /// Decodes a node.
    pub(crate) fn decode(rlp: &[u8]) -> alloy_rlp::Result<Self> {
        Ok(Self { kind: Kind::decode(rlp)?, reference: RlpNode::from_rlp(rlp) })
    }

    /// The RLP of the node.
    pub(crate) fn rlp(&self) -> Vec<u8> {
        self.kind.encode()
    }

    /// Whether the node is referred to by its hash.
    pub(crate) fn has_record(&self) -> bool {
        self.reference.len() == 33
    }

    /// keccak256 of the node's RLP, whether or not its parent uses it.
    pub(crate) fn hash(&self) -> B256 {
        match self.reference.split_first() {
            Some((_, hash)) if hash.len() == 32 => B256::from_slice(hash),
            _ => keccak256(&self.reference),
        }
    }
}

/// The root hash of a trie. A root is hashed even where it is shorter than 32 bytes.
pub(crate) fn root_hash(root: &Child) -> B256 {
    match root {
        Child::Empty => EMPTY_ROOT_HASH,
        Child::Stored(hash) => *hash,
        Child::Resident(node) => node.hash(),
    }
}

const INVALID: alloy_rlp::Error = alloy_rlp::Error::Custom("not a trie node");

impl Kind {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf { key, value } => {
                let path = encode_path_leaf(key, true);
                list(path.as_slice().length() + value.length(), |out| {
                    path.as_slice().encode(out);
                    value.encode(out);
                })
            }
            Self::Extension { key, child } => {
                let path = encode_path_leaf(key, false);
                list(path.as_slice().length() + reference_length(child), |out| {
                    path.as_slice().encode(out);
                    put_reference(child, out);
                })
            }
            Self::Branch(branch) => {
                let children: usize = branch.slots().map(reference_length).sum();
                list(children + 1, |out| {
                    branch.slots().for_each(|child| put_reference(child, out));
                    out.put_u8(EMPTY_STRING_CODE);
                })
            }
        }
    }

    fn decode(rlp: &[u8]) -> alloy_rlp::Result<Self> {
        let mut rest = rlp;
        let PayloadView::List(items) = Header::decode_raw(&mut rest)? else { return Err(INVALID) };
        if !rest.is_empty() {
            return Err(INVALID);
        }
        match items.as_slice() {
            [path, second] => {
                let (key, is_leaf) = decode_path(string(path)?)?;
                if is_leaf {
                    Ok(Self::Leaf { key, value: string(second)?.into() })
                } else {
                    Ok(Self::Extension { key, child: decode_child(second)? })
                }
            }
            [children @ .., value] if children.len() == 16 && *value == [EMPTY_STRING_CODE] => {
                let children: Vec<Child> =
                    children.iter().map(|item| decode_child(item)).collect::<Result<_, _>>()?;
                Ok(Self::Branch(Branch::new(children)))
            }
            _ => Err(INVALID),
        }
    }
}

fn list(payload_length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header = Header { list: true, payload_length };
    let mut out = Vec::with_capacity(header.length_with_payload());
    header.encode(&mut out);
    write(&mut out);
    out
}

fn reference_length(child: &Child) -> usize {
    match child {
        Child::Empty => 1,
        Child::Stored(_) => 33,
        Child::Resident(node) => node.reference.len(),
    }
}

fn put_reference(child: &Child, out: &mut Vec<u8>) {
    match child {
        Child::Empty => out.put_u8(EMPTY_STRING_CODE),
        Child::Stored(hash) => hash.encode(out),
        Child::Resident(node) => out.put_slice(&node.reference),
    }
}

fn string(mut item: &[u8]) -> alloy_rlp::Result<&[u8]> {
    Header::decode_bytes(&mut item, false)
}

fn decode_child(item: &[u8]) -> alloy_rlp::Result<Child> {
    match item {
        [EMPTY_STRING_CODE] => Ok(Child::Empty),
        [0xa0, hash @ ..] if hash.len() == 32 => Ok(Child::Stored(B256::from_slice(hash))),
        // A node inside its parent is shorter than a hash, which bounds the recursion.
        [0xc0..=0xff, ..] if item.len() < 32 => Ok(Child::Resident(Arc::new(Node::decode(item)?))),
        _ => Err(INVALID),
    }
}

/// Hex prefix encoding (Yellow Paper, appendix C): (nibbles, is a leaf).
fn decode_path(bytes: &[u8]) -> alloy_rlp::Result<(Nibbles, bool)> {
    let (first, rest) = bytes.split_first().ok_or(INVALID)?;
    if bytes.len() > 33 || first >> 4 > 3 {
        return Err(INVALID);
    }
    let odd = first & 0x10 != 0;
    if (odd && rest.len() > 31) || (!odd && first & 0x0f != 0) {
        return Err(INVALID);
    }
    let mut key = Nibbles::new();
    if odd {
        key.push(first & 0x0f);
    }
    key.extend(&Nibbles::unpack(rest));
    Ok((key, first & 0x20 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(key: &[u8], value: &[u8]) -> Kind {
        Kind::Leaf { key: Nibbles::from_nibbles(key), value: value.into() }
    }

    #[test]
    fn nodes_survive_a_round_trip() {
        let small = Child::Resident(Arc::new(Node::seal(leaf(&[1, 2], b"v")).0));
        let large = Child::Stored(B256::repeat_byte(7));
        let branch = Branch::new([small, Child::Empty, large.clone()]);
        let kinds = [
            leaf(&[], b"value"),
            leaf(&[3], &[9; 40]),
            Kind::Extension { key: Nibbles::from_nibbles([1, 2, 3]), child: large },
            Kind::Branch(branch),
        ];
        for kind in kinds {
            let (node, rlp) = Node::seal(kind);
            assert_eq!(Node::decode(&rlp), Ok(node));
        }
    }

    #[test]
    fn short_node_is_its_own_reference() {
        let (node, rlp) = Node::seal(leaf(&[1], b"v"));
        assert!(!node.has_record());
        assert_eq!(node.hash(), keccak256(rlp));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(Node::decode(&bytes));
        }

        #[test]
        fn damaged_branch_never_panics(at in 0_usize..100, bit in 0_u8..8) {
            let child = Child::Stored(B256::repeat_byte(7));
            let (_, mut rlp) = Node::seal(Kind::Branch(Branch::new([child.clone(), child])));
            let at = at % rlp.len();
            rlp[at] ^= 1 << bit;
            drop(Node::decode(&rlp));
        }
    }
}
