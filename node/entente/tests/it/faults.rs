//! Nodes die; the chain must not lose or fork anything, and must say why when it stands still.

use crate::{
    http::{get, head, wait_for},
    network::Network,
};
use std::time::Duration;

/// One of four may die: blocks go on. Two: the chain stands still and says who is missing. Both
/// back: blocks go on, and everybody has the same state.
#[test]
fn one_dead_validator_is_nothing_two_stop_the_chain_and_their_return_heals_it() {
    let mut network = Network::start(4, "1s");
    let start = network.highest();
    network.kill(3);
    wait_for("blocks with one validator dead", Duration::from_secs(60), || {
        (head(network.port(0)).ok()? >= start + 5).then_some(())
    });

    network.kill(2);
    let reason = wait_for("readiness to name who is missing", Duration::from_secs(60), || {
        let (status, body) = get(network.port(0), "/readyz").ok()?;
        (status == 503 && body.contains("quorum lost")).then_some(body)
    });
    for node in [2, 3] {
        let address = network.validator(node);
        assert!(reason.to_lowercase().contains(&address.to_lowercase()), "{reason}");
    }
    let url = format!("http://127.0.0.1:{}", network.port(0));
    let doctor = network.entente(&["doctor", "--rpc"], &url);
    let findings = String::from_utf8_lossy(&doctor.stdout).to_lowercase();
    assert!(!doctor.status.success(), "the doctor found nothing:\n{findings}");
    for node in [2, 3] {
        let missing = format!("validator {} is missing", network.validator(node).to_lowercase());
        assert!(findings.contains(&missing), "{findings}");
    }
    let stopped = head(network.port(0)).expect("answers while it stands still");

    // Node 3 is blocks behind and must hear so although nobody has a new block to announce.
    network.restart(3);
    let back = std::time::Instant::now();
    wait_for("blocks after the one that is behind is back", Duration::from_secs(60), || {
        (head(network.port(0)).ok()? > stopped).then_some(())
    });
    println!("first block {} ms after the return", back.elapsed().as_millis());
    network.restart(2);
    let height = network.highest();
    network.agree_at(height, Duration::from_secs(60));
    wait_for("readiness after the return", Duration::from_secs(60), || {
        let (status, _) = get(network.port(0), "/readyz").ok()?;
        (status == 200).then_some(())
    });
    wait_for("the doctor to find the chain healthy", Duration::from_secs(60), || {
        network.entente(&["doctor", "--rpc"], &url).status.success().then_some(())
    });
}

/// Row 55: a second process in the same folder is refused, and told who holds it.
#[test]
fn a_folder_in_use_is_refused_with_the_holder() {
    let network = Network::start(1, "1s");
    let folder = network.folder_of(0);
    let (config, data) = (folder.join("node.toml"), folder.join("data"));
    let pid = network.pid(0).to_string();
    let (run, check): (&[&str], &[&str]) = (&["run", "--config"], &["db", "check", "--data"]);
    for (arguments, path) in [(run, config), (check, data)] {
        let output = network.entente(arguments, path.to_str().expect("path"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{stderr}");
        assert!(stderr.contains(&pid), "process {pid} is not named: {stderr}");
    }
}
