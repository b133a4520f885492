//! Depth: real signatures and revm, fifty seeds of every engine and of private transactions, by the program that people run.

use std::process::Command;

#[test]
fn fifty_seeds_of_every_engine_hold_with_real_execution_and_signatures() {
    for engine in ["ibft", "raft", "clique", "switch", "private"] {
        let output = Command::new(env!("CARGO_BIN_EXE_entente-simulator"))
            .args(["--engine", engine, "--profile", "full", "--seeds", "0..50"])
            .output()
            .expect("the simulator runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("50 seeds, 0 failures"), "{text}");
    }
}
