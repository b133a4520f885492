// What the client scripts share: arguments, deadlines, and one line per check.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const WITHIN_MS = 30_000;

export { assert };

/** `node SCRIPT RPC_URL WS_URL PRIVATE_KEY` */
export function commandLine() {
  const [rpc, ws, key] = process.argv.slice(2);
  if (!key) {
    console.error(`usage: node ${process.argv[1]} RPC_URL WS_URL PRIVATE_KEY`);
    process.exit(2);
  }
  return { rpc, ws, key };
}

/** `node SCRIPT TESTNET_JSON`: what `entente testnet` wrote about its nodes and accounts. */
export function testnet() {
  const [path] = process.argv.slice(2);
  if (!path) {
    console.error(`usage: node ${process.argv[1]} TESTNET_JSON`);
    process.exit(2);
  }
  return JSON.parse(readFileSync(path));
}

/** A compiled contract of testdata/contracts, or of the folder that CONTRACTS_DIR names. */
export function contract(name) {
  const here = new URL("../../../../testdata/contracts/", import.meta.url);
  const folder = process.env.CONTRACTS_DIR;
  return JSON.parse(readFileSync(folder ? `${folder}/${name}.json` : new URL(`${name}.json`, here)));
}

/** Rejects when `promise` takes too long. */
export function within(promise, what, millis = WITHIN_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${millis} ms`)), millis);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The error that `promise` rejects with; fails when it does not. */
export async function rejection(promise, what) {
  try {
    await within(promise, what);
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: expected an error`);
}

let failed = 0;
let passed = 0;

/** Runs one check; a failure is told and counted, and the others go on. */
export async function check(name, body) {
  try {
    await within(body(), name, 3 * WITHIN_MS);
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${error?.stack ?? error}`);
  }
}

/** Ends the process: non-zero when a check failed. Open sockets do not matter. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

// A rejection that nobody awaits must not pass as success.
process.on("unhandledRejection", (error) => {
  console.log(`not ok unhandled rejection: ${error?.stack ?? error}`);
  process.exit(1);
});
