.PHONY: check test testnet vectors docs deny release

# Format and lints.
check:
	cargo fmt --all --check && cargo clippy --release --locked --workspace --all-targets -- -D warnings

# Everything that CI runs; installs what the system lacks.
test:
	scripts/setup.sh --tests && scripts/test.sh

# Four IBFT validators on loopback, from the sources to READY; Ctrl-C stops them.
testnet:
	scripts/setup.sh && cargo build --release --locked --workspace && "$${CARGO_TARGET_DIR:-target}/release/entente" testnet up --engine ibft --validators 4 --dir build/testnet

# The full public vectors: CONFORMANCE_DIR=... make vectors
vectors:
	scripts/vectors.sh

# The API documentation, every link checked.
docs:
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --workspace --no-deps --document-private-items

# Licences, advisories and sources of all dependencies; needs cargo-deny.
deny:
	cargo deny --locked check

# The binary that is packaged.
release:
	cargo build --profile maxperf --locked --package entente
