//! Taste that a machine can check.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const CODE_LINES_MAX: usize = 400;
const FILE_BYTES_MAX: u64 = 200 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Every file of the repository: what git tracks or would track; all files where there is no git.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| root().join(line))
            .filter(|path| path.is_file())
            .collect(),
        _ => walk(&root()),
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "build" && name != ".git" {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

fn rust_sources() -> Vec<(PathBuf, String)> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable source");
            (path.strip_prefix(root()).expect("inside").to_path_buf(), text)
        })
        .collect()
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    let long: Vec<_> = rust_sources()
        .iter()
        .filter_map(|(path, text)| {
            let code = text
                .lines()
                .take_while(|line| *line != "mod tests {" && *line != "#[cfg(test)]")
                .count();
            (code > CODE_LINES_MAX).then(|| format!("{}: {code} lines", path.display()))
        })
        .collect();
    report("files with more than 400 lines before their tests", &long);
}

#[test]
fn lines_are_clean() {
    let mut found = Vec::new();
    for (path, text) in rust_sources() {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            if line.ends_with(' ') || line.contains('\t') || line.contains('\r') {
                found.push(format!("{place}: trailing space, tab or carriage return"));
            }
            // Spelled in two parts, so that this file passes.
            for marker in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
                if line.contains(marker) {
                    found.push(format!("{place}: {marker}"));
                }
            }
        }
    }
    report("unclean lines", &found);
}

#[test]
fn names_say_something() {
    let vague = ["utils", "util", "helpers", "common", "misc"];
    let found: Vec<_> = rust_sources()
        .iter()
        .filter(|(path, _)| {
            path.file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| vague.contains(&stem))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("files with vague names", &found);
}

#[test]
fn every_crate_has_a_head_lints_and_a_place_on_the_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut found = Vec::new();
    for path in files().iter().filter(|path| path.ends_with("Cargo.toml")) {
        let text = std::fs::read_to_string(path).expect("a manifest");
        if text.contains("[workspace]") {
            continue;
        }
        let folder = path.parent().expect("a folder");
        let name = folder.strip_prefix(root()).expect("inside").display().to_string();
        if !text.contains("[lints]\nworkspace = true") {
            found.push(format!("{name}: does not take the workspace's lints"));
        }
        if !map.contains(&format!("`{name}`")) {
            found.push(format!("{name}: not in ARCHITECTURE.md"));
        }
        let head = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        if !head.starts_with("//!") {
            found.push(format!("{name}: src/lib.rs does not begin with what it is for"));
        }
    }
    report("crates", &found);
}

/// Each heavy dependency is seen by one crate, and nothing in `consensus/` does I/O.
#[test]
fn dependencies_point_one_way() {
    let banned: &[(&str, &[&str])] = &[
        ("consensus/chain", &["tokio", "rocksdb", "libp2p", "revm", "rand", "entente-consensus"]),
        (
            "consensus/core",
            &[
                "tokio",
                "rocksdb",
                "libp2p",
                "revm",
                "rand",
                "tracing-subscriber",
                "entente-storage",
            ],
        ),
        ("consensus/simulator", &["tokio", "rocksdb", "libp2p", "entente-p2p", "entente-rpc"]),
        ("storage", &["tokio", "revm", "libp2p", "entente-consensus", "entente-evm"]),
        ("evm", &["rocksdb", "tokio", "libp2p"]),
        ("p2p", &["rocksdb", "revm", "entente-storage", "entente-consensus"]),
        ("privacy", &["tokio", "libp2p", "rocksdb", "revm", "jsonrpsee", "entente-p2p"]),
        ("node/pool", &["tokio", "libp2p", "rocksdb"]),
        (
            "node/ledger",
            &["tokio", "rocksdb", "libp2p", "entente-p2p", "entente-rpc", "entente-pool"],
        ),
        ("node/config", &["tokio", "libp2p", "rocksdb", "revm", "entente-storage"]),
        ("rpc", &["libp2p", "rocksdb", "entente-p2p"]),
        ("testnets", &["rocksdb", "revm"]),
    ];
    let mut found = Vec::new();
    for (folder, names) in banned {
        let manifest =
            std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest
            .split("[dependencies]")
            .nth(1)
            .and_then(|rest| rest.split("\n[").next())
            .unwrap_or_default();
        for name in *names {
            let named = |line: &str| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            };
            if dependencies.lines().any(named) {
                found.push(format!("{folder} names {name}"));
            }
        }
    }
    report("dependencies", &found);
}

#[test]
fn nothing_large_is_kept() {
    let found: Vec<_> = files()
        .iter()
        .filter(|path| !path.starts_with(root().join("testdata")) && !path.ends_with("Cargo.lock"))
        .filter(|path| path.metadata().is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX))
        .map(|path| path.display().to_string())
        .collect();
    report("files over 200 KiB", &found);
}

/// What the README tells people to run is what the end-to-end tests run.
#[test]
fn the_readme_shows_the_scripts_that_are_tested() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    for name in ["readme_ethers.mjs", "readme_private.mjs"] {
        let script = root().join("node/entente/tests/clients").join(name);
        let script = std::fs::read_to_string(script).expect("the script");
        let shown = script.replace("../../../../testdata/contracts/", "./");
        assert!(readme.contains(shown.trim()), "the snippet in README.md differs from {name}");
    }
}

/// The page of all configuration keys is what the program prints; rewrite it with
/// `entente config reference > docs/operating/configuration.md`.
#[test]
fn the_configuration_page_is_what_the_program_prints() {
    let page = root().join("docs/operating/configuration.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let printed =
        Command::new(crate::network::ENTENTE).args(["config", "reference"]).output().expect("runs");
    assert_eq!(page, String::from_utf8_lossy(&printed.stdout));
}
