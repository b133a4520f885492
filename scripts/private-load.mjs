#!/usr/bin/env node
// Private transactions a second, on a network of `entente testnet up --private`: two parties of each transaction, a
// payload of 256 bytes, a contract call that writes a word of storage and logs. Closed loop: each of the senders sends its
// next one when the last one was answered.
//
//   scripts/install-clients.sh
//   scripts/private-load.mjs TESTNET_JSON [--mode send|raw] [--count N] [--senders N] [--nodes N] [--rate N]
//
// send: eth_sendTransaction with privateFor; the node signs, with one account per node.
// raw:  eth_fillTransaction leaves the payload on the node, we sign, eth_sendRawPrivateTransaction; one account per sender.
//       What was filled and signed beforehand is told apart.
// --nodes: how many nodes are sent to (each sends to itself and the next one). --rate: open loop instead, so many a
// second however long the answers take.

import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const here = new URL("../node/entente/tests/clients/", import.meta.url);
const require = createRequire(new URL("private-load.mjs", here));
const { Transaction } = require("ethereumjs-tx");
const { randomBytes } = require("node:crypto");
const { computeAddress } = require("ethers");

const PAYLOAD_BYTES = 256;
const GAS = "0x30d40";
const MINED_WITHIN_MS = 120_000;
const SET = "60fe47b1"; // set(uint256) of testdata/contracts/Counter.sol

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: "string", default: "send" },
    count: { type: "string", default: "2000" },
    senders: { type: "string", default: "32" },
    nodes: { type: "string", default: "1" },
    rate: { type: "string", default: "0" },
  },
});
const [count, senders, active, rate] = ["count", "senders", "nodes", "rate"].map((name) => Number(values[name]));
const manifest = JSON.parse(readFileSync(positionals[0]));
const counter = JSON.parse(readFileSync(new URL("../testdata/contracts/Counter.json", import.meta.url)));
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
const nodes = manifest.nodes.slice(0, active).map((node, index) => ({
  ...node, party: manifest.nodes[(index + 1) % manifest.nodes.length],
}));

function call(node, method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(node.rpc, { agent, method: "POST", headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part)).on("error", reject).on("end", () => {
        try {
          const { result, error } = JSON.parse(Buffer.concat(parts));
          error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result);
        } catch (cause) {
          reject(cause);
        }
      });
    });
    sent.on("error", reject).end(body);
  });
}

const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

async function mined(node, hash) {
  const deadline = Date.now() + MINED_WITHIN_MS;
  while (Date.now() < deadline) {
    const receipt = await call(node, "eth_getTransactionReceipt", [hash]);
    if (receipt) return receipt;
    await pause(25);
  }
  throw new Error(`${hash} is in no block after ${MINED_WITHIN_MS} ms`);
}

/** Does `count` pieces of work by `senders` workers, or at a rate; milliseconds of each. */
async function work(name, one) {
  const started = performance.now();
  const latencies = [];
  let next = 0;
  const timed = async (index, sender) => {
    const begun = performance.now();
    await one(index, sender);
    latencies.push(performance.now() - begun);
  };
  const worker = async (_, sender) => {
    for (let index = next++; index < count; index = next++) await timed(index, sender);
  };
  if (rate > 0) {
    const flying = [];
    for (let index = 0; index < count; index += 1) {
      const due = started + (index * 1000) / rate;
      if (due > performance.now()) await pause(due - performance.now());
      flying.push(timed(index, index % senders));
    }
    await Promise.all(flying);
  } else {
    await Promise.all(Array.from({ length: senders }, worker));
  }
  const took = (performance.now() - started) / 1000;
  latencies.sort((one, other) => one - other);
  const [half, most] = [0.5, 0.99].map((part) => latencies[Math.floor(part * (count - 1))].toFixed(1));
  console.log(`${name}: ${(count / took).toFixed(0)}/s, answered after ${half} ms (p50) ${most} ms (p99)`);
}

// A contract for each pair of parties.
for (const node of nodes) {
  const data = `${counter.bytecode}${"0".repeat(64)}`;
  const privateFor = [node.party.privacy_key];
  const hash = await call(node, "eth_sendTransaction", [
    { from: node.account, data, gas: "0x7a120", gasPrice: "0x0", privateFor },
  ]);
  node.contract = (await mined(node, hash)).contractAddress;
}

const payload = (index) =>
  `0x${SET}${(index + 1).toString(16).padStart(64, "0")}`.padEnd(2 + 2 * PAYLOAD_BYTES, "5a");
const hashes = new Array(count);
const nodeOf = (sender) => nodes[sender % nodes.length];
const first = Number(await call(nodes[0], "eth_blockNumber", []));

if (values.mode === "send") {
  await work("eth_sendTransaction", async (index, sender) => {
    const node = nodeOf(sender);
    hashes[index] = { node, hash: await call(node, "eth_sendTransaction", [{
      from: node.account, to: node.contract, data: payload(index), gas: GAS, gasPrice: "0x0",
      privateFor: [node.party.privacy_key],
    }]) };
  });
} else {
  const accounts = Array.from({ length: senders }, () => {
    const key = randomBytes(32);
    return { key, address: computeAddress(`0x${key.toString("hex")}`), nonce: 0 };
  });
  const raw = Array.from({ length: senders }, () => []);
  await work("eth_fillTransaction and signature", async (index, sender) => {
    const [node, account] = [nodeOf(sender), accounts[sender]];
    const nonce = `0x${(account.nonce++).toString(16)}`;
    const { tx } = await call(node, "eth_fillTransaction", [{
      from: account.address, to: node.contract, data: payload(index), gas: GAS, gasPrice: "0x0", nonce,
      privateFor: [node.party.privacy_key],
    }]);
    const made = new Transaction(
      { nonce, gasPrice: "0x0", gasLimit: GAS, to: node.contract, value: "0x0", data: tx.input },
      { chain: "mainnet", hardfork: "homestead" },
    );
    made.sign(account.key);
    // v 27 and 28 to 37 and 38: private.
    made.v = Buffer.from([made.v[0] + 10]);
    raw[sender].push({ index, encoded: `0x${made.serialize().toString("hex")}` });
  });
  // Workers took unequal shares; a worker sends what it signed, in nonce order, then it is done.
  const queues = raw.map((list) => list.values());
  await work("eth_sendRawPrivateTransaction", async (_, sender) => {
    let own = sender;
    let next = queues[own].next();
    while (next.done) {
      own = (own + 1) % senders;
      next = queues[own].next();
    }
    const node = nodeOf(own);
    hashes[next.value.index] = { node, hash: await call(node, "eth_sendRawPrivateTransaction", [
      next.value.encoded, { privateFor: [node.party.privacy_key] },
    ]) };
  });
}

// Counted from blocks, and at both parties.
for (const { node, hash } of hashes) await mined(node, hash);
const last = Number(await call(nodes[0], "eth_blockNumber", []));
const filled = [];
for (let number = first + 1; number <= last; number += 1) {
  const block = await call(nodes[0], "eth_getBlockByNumber", [`0x${number.toString(16)}`, false]);
  if (block.transactions.length > 0) filled.push([Number(block.timestamp), block.transactions.length]);
}
const all = filled.reduce((sum, [, size]) => sum + size, 0);
const seconds = filled.at(-1)[0] - filled[0][0] + 1;
console.log(`${all} private transactions in ${filled.length} blocks over ${seconds} s: ${(all / seconds).toFixed(0)}/s`);
for (const node of nodes) {
  const logs = async (at) => {
    await mined(at, hashes.findLast((sent) => sent.node === node).hash);
    const address = node.contract;
    return (await call(at, "eth_getLogs", [{ address, fromBlock: "0x0" }])).length;
  };
  const [own, theirs] = [await logs(node), await logs(node.party)];
  const sent = hashes.filter((one) => one.node === node).length;
  if (own !== sent || theirs !== sent) throw new Error(`${sent} sent, ${own} and ${theirs} executed by the parties`);
}
console.log("every one executed by both of its parties");
agent.destroy();
