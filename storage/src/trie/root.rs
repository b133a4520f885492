//! Works out the trie after a set of changes, in one pass from the root to the leaves and back.
//!
//! Every node on a changed path is built and hashed once, and its record appears once among the
//! writes; large sets are worked out in parallel below the first nibbles. Nothing is written.

use super::{
    cursor::NodeReader,
    node::{Branch, Child, Kind, Node},
};
use crate::StoreError;
use alloy_trie::Nibbles;
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// From this many changes below a branch on, its children are worked out in parallel.
const PARALLEL_CHANGES: usize = 64;

/// A record to set, or to remove, by path.
pub(crate) type NodeWrite = (Nibbles, Option<Vec<u8>>);

/// What the changed leaves become.
pub(crate) trait Leaves: Sync {
    /// The value of the leaf with the key at `index` after the changes, given the one before;
    /// `None`: no leaf. Called once per index.
    fn after(&self, index: usize, before: Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError>;
}

/// A set of changes to one trie.
pub(crate) struct Update<'a, L> {
    nodes: NodeReader<'a>,
    keys: &'a [Nibbles],
    leaves: &'a L,
}

/// What became of a node.
enum Outcome {
    /// Nothing; its record stands.
    Same(Child),
    /// Another node, not yet sealed: its parent may merge with it.
    New(Option<Kind>),
}

impl Outcome {
    const fn is_empty(&self) -> bool {
        matches!(self, Self::Same(Child::Empty) | Self::New(None))
    }
}

/// A child of a branch: what became of it, and whether a record was there before.
struct Slot {
    had_record: bool,
    now: Outcome,
}

type Writes = Vec<NodeWrite>;

impl<'a, L: Leaves> Update<'a, L> {
    /// Changes to the leaves with these keys, sorted and distinct.
    pub(crate) const fn new(nodes: NodeReader<'a>, keys: &'a [Nibbles], leaves: &'a L) -> Self {
        Self { nodes, keys, leaves }
    }

    /// The trie after the changes, and the records to write, later ones winning.
    pub(crate) fn apply(&self, root: &Child) -> Result<(Child, Writes), StoreError> {
        let mut out = Vec::new();
        let path = Nibbles::new();
        match self.at(root, path, 0..self.keys.len(), &mut out)? {
            Outcome::Same(root) => Ok((root, out)),
            Outcome::New(None) => {
                if *root != Child::Empty {
                    out.push((path, None));
                }
                Ok((Child::Empty, out))
            }
            // The root has a record however short it is.
            Outcome::New(Some(kind)) => {
                let (node, rlp) = Node::seal(kind);
                out.push((path, Some(rlp)));
                Ok((Child::Resident(Arc::new(node)), out))
            }
        }
    }

    fn key(&self, index: usize) -> Nibbles {
        self.keys.get(index).copied().unwrap_or_default()
    }

    fn at(
        &self,
        old: &Child,
        path: Nibbles,
        range: Range<usize>,
        out: &mut Writes,
    ) -> Result<Outcome, StoreError> {
        if range.is_empty() {
            return Ok(Outcome::Same(old.clone()));
        }
        let Some(node) = self.nodes.resolve(&path, old)? else {
            let leaves = self.leaves_after(range, None)?;
            return Ok(Outcome::New(plant(&leaves, path, out)));
        };
        match &node.kind {
            Kind::Leaf { key, value } => {
                let full = path.join(key);
                let leaves = self.leaves_after(range, Some((full, &**value)))?;
                if matches!(&*leaves, [(key, now)] if *key == full && **now == **value) {
                    return Ok(Outcome::Same(Child::Resident(node)));
                }
                Ok(Outcome::New(plant(&leaves, path, out)))
            }
            Kind::Extension { key, child } => {
                match self.extension(*key, child, path, range, out)? {
                    Outcome::Same(_) => Ok(Outcome::Same(Child::Resident(node))),
                    new @ Outcome::New(_) => Ok(new),
                }
            }
            Kind::Branch(branch) => {
                let slots = self.children(branch, path, range, out)?;
                if slots.iter().all(|slot| matches!(slot.now, Outcome::Same(_))) {
                    return Ok(Outcome::Same(Child::Resident(node)));
                }
                Ok(Outcome::New(self.branch_of(slots, path, out)?))
            }
        }
    }

    /// The leaves of a range after the changes, with the one that was there.
    fn leaves_after(
        &self,
        range: Range<usize>,
        old: Option<(Nibbles, &[u8])>,
    ) -> Result<Vec<(Nibbles, Vec<u8>)>, StoreError> {
        let mut leaves = Vec::with_capacity(range.len() + 1);
        let mut old = old;
        for index in range {
            let key = self.key(index);
            // Keys are sorted: the old leaf goes in before the first key after it.
            if let Some((at, value)) = old.take_if(|(at, _)| *at < key) {
                leaves.push((at, value.to_vec()));
            }
            let before = old.take_if(|(at, _)| *at == key).map(|(_, value)| value);
            if let Some(value) = self.leaves.after(index, before)? {
                leaves.push((key, value));
            }
        }
        leaves.extend(old.map(|(at, value)| (at, value.to_vec())));
        Ok(leaves)
    }

    /// Applies changes below an extension with this key, which may be a part of a stored one.
    /// `Same` means that the child did not change.
    fn extension(
        &self,
        key: Nibbles,
        child: &Child,
        path: Nibbles,
        range: Range<usize>,
        out: &mut Writes,
    ) -> Result<Outcome, StoreError> {
        let end = path.join(&key);
        let shared = [range.start, range.end - 1]
            .map(|index| self.key(index).common_prefix_length(&end))
            .into_iter()
            .min()
            .unwrap_or_default()
            .saturating_sub(path.len());
        if shared >= key.len() {
            return match self.at(child, end, range, out)? {
                Outcome::Same(child) => Ok(Outcome::Same(child)),
                Outcome::New(kind) => {
                    Ok(Outcome::New(joined(key, kind, path, child.has_record(), out)))
                }
            };
        }
        // Some keys leave the extension after `shared` nibbles: a branch goes in there.
        let fork = path.join(&key.slice(..shared));
        let onward = key.get_unchecked(shared);
        let rest = key.slice(shared + 1..);
        let mut slots = Vec::with_capacity(16);
        for (nibble, range) in self.by_nibble(fork.len(), range) {
            let path = pushed(fork, nibble);
            slots.push(if nibble != onward {
                Slot { had_record: false, now: self.at(&Child::Empty, path, range, out)? }
            } else if rest.is_empty() {
                Slot { had_record: child.has_record(), now: self.at(child, path, range, out)? }
            } else {
                let whole = |child| Outcome::New(Some(Kind::Extension { key: rest, child }));
                let now = if range.is_empty() {
                    whole(child.clone())
                } else {
                    match self.extension(rest, child, path, range, out)? {
                        Outcome::Same(child) => whole(child),
                        new @ Outcome::New(_) => new,
                    }
                };
                Slot { had_record: false, now }
            });
        }
        let branch = self.branch_of(slots, fork, out)?;
        Ok(Outcome::New(joined(key.slice(..shared), branch, path, false, out)))
    }

    /// Applies changes to the children of a branch.
    fn children(
        &self,
        branch: &Branch,
        path: Nibbles,
        range: Range<usize>,
        out: &mut Writes,
    ) -> Result<Vec<Slot>, StoreError> {
        let parallel = range.len() >= PARALLEL_CHANGES;
        let parts = self.by_nibble(path.len(), range);
        let slot =
            |nibble: u8, range: Range<usize>, out: &mut Writes| -> Result<Slot, StoreError> {
                let child = branch.child(nibble);
                let now = self.at(child, pushed(path, nibble), range, out)?;
                Ok(Slot { had_record: child.has_record(), now })
            };
        if !parallel {
            return parts.into_iter().map(|(nibble, range)| slot(nibble, range, out)).collect();
        }
        let done: Vec<(Slot, Writes)> = parts
            .into_par_iter()
            .map(|(nibble, range)| {
                let mut out = Vec::new();
                slot(nibble, range, &mut out).map(|slot| (slot, out))
            })
            .collect::<Result<_, StoreError>>()?;
        let mut slots = Vec::with_capacity(done.len());
        for (slot, writes) in done {
            out.extend(writes);
            slots.push(slot);
        }
        Ok(slots)
    }

    /// Cuts a range of keys by their nibble at `depth`: sixteen ranges.
    fn by_nibble(&self, depth: usize, range: Range<usize>) -> Vec<(u8, Range<usize>)> {
        let keys = self.keys.get(range.clone()).unwrap_or_default();
        let mut start = 0;
        (0..16)
            .map(|nibble| {
                let rest = keys.get(start..).unwrap_or_default();
                let count = rest.partition_point(|key| key.get(depth) <= Some(nibble));
                let part = range.start + start..range.start + start + count;
                start += count;
                (nibble, part)
            })
            .collect()
    }

    /// The node with these sixteen children: a branch, or less where fewer than two are left.
    fn branch_of(
        &self,
        slots: Vec<Slot>,
        path: Nibbles,
        out: &mut Writes,
    ) -> Result<Option<Kind>, StoreError> {
        for (slot, nibble) in slots.iter().zip(0..) {
            if slot.had_record && matches!(slot.now, Outcome::New(None)) {
                out.push((pushed(path, nibble), None));
            }
        }
        match slots.iter().filter(|slot| !slot.now.is_empty()).count() {
            0 => Ok(None),
            1 => self.only_child(slots, path, out),
            _ => {
                let children = slots.into_iter().zip(0..).map(|(slot, nibble)| match slot.now {
                    Outcome::Same(child) => child,
                    Outcome::New(None) => Child::Empty,
                    Outcome::New(Some(kind)) => {
                        sealed(kind, pushed(path, nibble), slot.had_record, out)
                    }
                });
                Ok(Some(Kind::Branch(Branch::new(children.collect::<Vec<_>>()))))
            }
        }
    }

    /// A branch with one child is that child with a longer key.
    fn only_child(
        &self,
        slots: Vec<Slot>,
        path: Nibbles,
        out: &mut Writes,
    ) -> Result<Option<Kind>, StoreError> {
        let Some((slot, nibble)) =
            slots.into_iter().zip(0..).find(|(slot, _)| !slot.now.is_empty())
        else {
            return Ok(None);
        };
        let key = Nibbles::from_nibbles([nibble]);
        match slot.now {
            Outcome::New(kind) => Ok(joined(key, kind, path, slot.had_record, out)),
            Outcome::Same(child) => {
                let at = pushed(path, nibble);
                let Some(node) = self.nodes.resolve(&at, &child)? else { return Ok(None) };
                Ok(match &node.kind {
                    // The branch stands where it is.
                    Kind::Branch(_) => Some(Kind::Extension { key, child: Child::Resident(node) }),
                    kind => joined(key, Some(kind.clone()), path, child.has_record(), out),
                })
            }
        }
    }
}

fn pushed(path: Nibbles, nibble: u8) -> Nibbles {
    let mut path = path;
    path.push(nibble);
    path
}

/// Hashes a node and notes its record at `path`.
fn sealed(kind: Kind, path: Nibbles, had_record: bool, out: &mut Writes) -> Child {
    let (node, rlp) = Node::seal(kind);
    if node.has_record() {
        out.push((path, Some(rlp)));
    } else if had_record {
        out.push((path, None));
    }
    Child::Resident(Arc::new(node))
}

/// `kind`, which stands `prefix` below `path`, as the node at `path`.
fn joined(
    prefix: Nibbles,
    kind: Option<Kind>,
    path: Nibbles,
    had_record: bool,
    out: &mut Writes,
) -> Option<Kind> {
    if prefix.is_empty() {
        return kind;
    }
    let below = path.join(&prefix);
    if matches!(kind, Some(Kind::Branch(_))) {
        let child = sealed(kind?, below, had_record, out);
        return Some(Kind::Extension { key: prefix, child });
    }
    if had_record {
        out.push((below, None));
    }
    match kind? {
        Kind::Leaf { key, value } => Some(Kind::Leaf { key: prefix.join(&key), value }),
        Kind::Extension { key, child } => Some(Kind::Extension { key: prefix.join(&key), child }),
        Kind::Branch(_) => None,
    }
}

/// The trie of these leaves, where there was at most a leaf before.
fn plant(leaves: &[(Nibbles, Vec<u8>)], path: Nibbles, out: &mut Writes) -> Option<Kind> {
    let (first, value) = leaves.first()?;
    let (last, _) = leaves.last()?;
    if leaves.len() == 1 {
        return Some(Kind::Leaf { key: first.slice(path.len()..), value: value.as_slice().into() });
    }
    let fork = first.slice(..first.common_prefix_length(last));
    let mut rest = leaves;
    let children: Vec<Child> = (0..16)
        .map(|nibble| {
            let count = rest.partition_point(|(key, _)| key.get(fork.len()) <= Some(nibble));
            let (part, after) = rest.split_at(count);
            rest = after;
            let at = pushed(fork, nibble);
            plant(part, at, out).map_or(Child::Empty, |kind| sealed(kind, at, false, out))
        })
        .collect();
    let branch = Some(Kind::Branch(Branch::new(children)));
    joined(fork.slice(path.len()..), branch, path, false, out)
}
