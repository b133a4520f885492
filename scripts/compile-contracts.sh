#!/usr/bin/env bash
# Compiles testdata/contracts/*.sol to the committed JSON beside them, and the management contract of extensions to
# the committed hex beside it. By hand, after a change of a source.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
solc_version=0.8.37
tools="${XDG_CACHE_HOME:-$HOME/.cache}/entente/solc-$solc_version"
mkdir -p "$tools"
npm install --prefix "$tools" --no-save --no-audit --no-fund "solc@$solc_version" >&2

cd "$root/testdata/contracts"
NODE_PATH="$tools/node_modules" node - *.sol <<'SCRIPT'
const fs = require("node:fs");
const solc = require("solc");

const files = process.argv.slice(2);
const sources = Object.fromEntries(
  files.map((file) => [file, { content: fs.readFileSync(file, "utf8") }]),
);
const settings = {
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "metadata"] } },
};
const output = JSON.parse(
  solc.compile(JSON.stringify({ language: "Solidity", sources, settings })),
);
for (const message of output.errors ?? []) console.error(message.formattedMessage);
if ((output.errors ?? []).some((message) => message.severity === "error")) process.exit(1);

for (const file of files) {
  for (const [name, contract] of Object.entries(output.contracts[file])) {
    const { compiler, settings } = JSON.parse(contract.metadata);
    const artifact = {
      name,
      source: file,
      compiler: { solc: compiler.version, evmVersion: settings.evmVersion, optimizerRuns: 200 },
      abi: contract.abi,
      bytecode: "0x" + contract.evm.bytecode.object,
    };
    fs.writeFileSync(name + ".json", JSON.stringify(artifact, null, 2) + "\n");
    console.error(`${name}.json: ${contract.evm.bytecode.object.length / 2} bytes of init code`);
  }
}
SCRIPT

cd "$root/evm/src/private/extension"
NODE_PATH="$tools/node_modules" node - ContractExtension <<'SCRIPT'
const fs = require("node:fs");
const solc = require("solc");

const [name] = process.argv.slice(2);
const file = name + ".sol";
const settings = {
  // Networks of any fork from Byzantium on may extend contracts.
  evmVersion: "byzantium",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
};
const sources = { [file]: { content: fs.readFileSync(file, "utf8") } };
const output = JSON.parse(
  solc.compile(JSON.stringify({ language: "Solidity", sources, settings })),
);
for (const message of output.errors ?? []) console.error(message.formattedMessage);
if ((output.errors ?? []).some((message) => message.severity === "error")) process.exit(1);
const code = output.contracts[file][name].evm.bytecode.object;
fs.writeFileSync(name + ".hex", code + "\n");
console.error(`${name}.hex: ${code.length / 2} bytes of init code`);
SCRIPT
