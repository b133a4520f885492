//! S5, S7: whatever happened, a database holds one state: head, bodies, receipts, indices, and the
//! accounts that the head's state root says. Read from the disk itself, past ledger and caches.

use super::World;
use entente_storage::check::check_disk;

impl World {
    /// Looks through a node's whole disk.
    pub(super) fn check_store(&mut self, node: usize) {
        let report = match check_disk(&*self.nodes[node].disk) {
            Ok(report) => report,
            Err(error) => return self.fail("S7", format!("disk of node {node}: {error}")),
        };
        if report.blocks > 1 {
            self.coverage.saw("disk looked through");
        }
        if !report.is_sound() {
            let (count, first) = (report.problem_count, report.problems.first());
            self.fail("S7", format!("disk of node {node} has {count} problems: {first:?}"));
        }
    }
}
