//! Hostile files and arguments: a clear error that names the field, an exit code, and nothing
//! written.

use crate::network::ENTENTE;
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output},
};

fn genesis() -> Value {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/goquorum/qbft-4/genesis.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("genesis")).expect("JSON")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(ENTENTE).args(arguments).output().expect("entente runs")
}

fn check(text: &str) -> (i32, String) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("genesis.json");
    std::fs::write(&file, text).expect("written");
    let output = run(&["genesis", "check", file.to_str().expect("path")]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap_or(-1), stderr)
}

/// A change to a good genesis file, and what its error must say.
type Row = (&'static str, fn(&mut Value), &'static [&'static str]);

/// A change to a good keystore file, and what its error must say.
type KeystoreRow = (fn(&mut Value), &'static str);

/// Row 52 of the hostile inputs.
#[test]
fn a_bad_genesis_file_is_refused_with_its_path() {
    let rows: &[Row] = &[
        (
            "no chain id",
            |g| drop(g["config"].as_object_mut().unwrap().remove("chainId")),
            &["chainId"],
        ),
        ("chain id 0", |g| g["config"]["chainId"] = json!(0), &["config.chainId", "0"]),
        (
            "unknown fork",
            |g| g["config"]["berlinnBlock"] = json!(0),
            &["config.berlinnBlock", "berlinBlock"],
        ),
        (
            "forks out of order",
            |g| g["config"]["istanbulBlock"] = json!(9),
            &["berlinBlock", "Istanbul"],
        ),
        ("alloc key", |g| g["alloc"]["0x12"] = json!({ "balance": "0x1" }), &["alloc", "0x12"]),
        (
            "code that no contract may have",
            |g| {
                g["alloc"]["0x00000000000000000000000000000000000000aa"] =
                    json!({ "balance": "0x0", "code": "0xef0100" });
            },
            &["code", "ef"],
        ),
        (
            "balance over 256 bits",
            |g| {
                g["alloc"]["0x00000000000000000000000000000000000000aa"] =
                    json!({ "balance": format!("0x1{}", "0".repeat(64)) });
            },
            &["balance"],
        ),
        ("extraData of nobody", |g| g["extraData"] = json!("0x00"), &["extraData"]),
        (
            "two engines",
            |g| g["config"]["clique"] = json!({ "period": 1, "epoch": 30000 }),
            &["clique"],
        ),
        ("unknown key", |g| g["frobnicate"] = json!(1), &["frobnicate"]),
    ];
    for (name, change, expected) in rows {
        let mut value = genesis();
        change(&mut value);
        let (code, stderr) = check(&value.to_string());
        assert_eq!(code, 3, "{name}: {stderr}");
        for part in *expected {
            assert!(stderr.contains(part), "{name}: `{part}` is not in: {stderr}");
        }
    }
}

#[test]
fn a_genesis_file_that_is_no_json_is_refused_with_line_and_column() {
    let (code, stderr) = check("{ \"config\": { \"chainId\": 1,,, } }");
    assert_eq!(code, 3);
    assert!(stderr.contains("line 1"), "{stderr}");
    let (code, _) = check(&"[".repeat(100_000));
    assert_eq!(code, 3);
}

/// Row 53: another genesis in the same folder changes nothing and names both hashes.
#[test]
fn another_genesis_in_the_same_folder_is_refused_with_both_hashes() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let write = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).expect("written");
        path
    };
    let first = write("first.json", &genesis());
    let mut other = genesis();
    other["timestamp"] = json!("0x1");
    let second = write("second.json", &other);
    let init = |file: &Path| {
        run(&["init", "--genesis", file.to_str().unwrap(), "--data", data.to_str().unwrap()])
    };
    assert!(init(&first).status.success());
    let refused = init(&second);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("0xe45cc99ca1e28708dd4bb3a094ab5b60c0ea58fe62d90446d49a5b8d6a03d60b"),
        "{stderr}"
    );
    assert!(init(&first).status.success(), "the folder is as it was");
}

/// Row 59: a damaged export stops at the bad block with number and offset, the head intact.
#[test]
fn a_damaged_chain_file_stops_at_the_bad_block() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/goquorum/qbft-4");
    let chain = std::fs::read(source.join("chain.rlp")).expect("chain");
    let genesis = source.join("genesis.json");
    let import = |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("chain.rlp");
        std::fs::write(&file, bytes).expect("written");
        let data = folder.path().join("data");
        let output = run(&[
            "import",
            "--genesis",
            genesis.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
            file.to_str().unwrap(),
        ]);
        let check = run(&["db", "check", "--data", data.to_str().unwrap()]);
        assert!(check.status.success(), "the database is damaged");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !stderr.contains("panicked"), "{stderr}");
        stderr
    };
    let truncated = import(&chain[..chain.len() - 100]);
    assert!(
        truncated.contains("ends inside a block") && truncated.contains("head is 35"),
        "{truncated}"
    );
    let mut flipped = chain.clone();
    let middle = chain.len() / 2;
    flipped[middle] ^= 0x40;
    let stderr = import(&flipped);
    assert!(stderr.contains("at byte"), "{stderr}");
    let mut huge = chain[..2000].to_vec();
    huge.splice(0..0, [0xfb, 0xff, 0xff, 0xff, 0xff]);
    assert!(import(&huge).contains("at most"), "a length of 4 GiB is refused");
}

/// Rows 54 and 57: configuration and keys.
#[test]
fn a_bad_configuration_names_file_line_key_and_expectation() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("node.toml");
    let rows: &[(&str, &[&str])] = &[
        ("data_dirr = \"x\"\n", &["data_dirr", "data_dir"]),
        ("[rpc]\nlisten = 7\n", &["rpc.listen", "7"]),
        ("[rpc]\nlisten = \"127.0.0.1:99999\"\n", &["rpc.listen", "99999"]),
        ("[p2p]\npeers = [\"nobody\"]\n", &["p2p.peers", "nobody"]),
        ("a = [[[[\n", &["node.toml"]),
    ];
    for (text, expected) in rows {
        std::fs::write(&file, text).expect("written");
        let output = run(&["run", "--config", file.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}: {stderr}");
        for part in *expected {
            assert!(stderr.contains(part), "{text}: `{part}` is not in: {stderr}");
        }
    }
}

/// Row 56: costs are bounded before they are spent.
#[test]
fn a_hostile_keystore_file_is_refused_before_anything_is_derived() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("key.json");
    let keystore = |change: fn(&mut Value)| {
        let mut value = json!({
            "version": 3, "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
            "crypto": {
                "cipher": "aes-128-ctr", "ciphertext": "00".repeat(32),
                "cipherparams": { "iv": "00".repeat(16) }, "mac": "00".repeat(32),
                "kdf": "scrypt",
                "kdfparams": { "dklen": 32, "n": 1024, "p": 1, "r": 8, "salt": "00".repeat(32) },
            },
        });
        change(&mut value);
        value.to_string()
    };
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").expect("written");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let rows: [KeystoreRow; 6] = [
        (|k| k["crypto"]["kdfparams"]["n"] = json!(1_u64 << 40), "crypto.kdfparams.n"),
        (|k| k["crypto"]["kdfparams"]["n"] = json!(1000), "power of two"),
        (|k| k["crypto"]["kdfparams"]["r"] = json!(1_u64 << 30), "crypto.kdfparams.r"),
        (|k| k["crypto"]["kdfparams"]["dklen"] = json!(1_u64 << 31), "crypto.kdfparams.dklen"),
        (|k| k["crypto"]["cipher"] = json!("rot13"), "aes-128-ctr"),
        (|_| {}, "wrong password or damaged file"),
    ];
    for (change, expected) in rows {
        drop(std::fs::remove_file(&file));
        std::fs::write(&file, keystore(change)).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
        let config = folder.path().join("node.toml");
        let genesis = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../testdata/goquorum/qbft-4/genesis.json");
        std::fs::write(
            &config,
            format!(
                "data_dir = {:?}\ngenesis = {genesis:?}\n[validator]\nkey_file = {file:?}\npassword_file = {password:?}\n",
                folder.path().join("data")
            ),
        )
        .expect("written");
        let output = run(&["run", "--config", config.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(expected), "{expected}: {stderr}");
    }
}
