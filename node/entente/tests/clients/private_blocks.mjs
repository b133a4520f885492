// ethers 6 and viem 2 on a network with private transactions: what is public works as ever, and blocks that hold private
// transactions (v 37 and 38, data of 64 bytes) can be read.
// usage: node private_blocks.mjs TESTNET_JSON

import { JsonRpcProvider, Wallet } from "ethers";
import { createPublicClient, createWalletClient, defineChain, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { assert, check, contract, finish, testnet, within } from "./checks.mjs";

const { nodes, accounts, chain_id: id } = testnet();
const counter = contract("Counter");
const signer = accounts[7];
const chain = defineChain({
  id,
  name: "Entente",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [nodes[0].rpc] } },
});
const clients = nodes.map(({ rpc }) => ({
  ethers: new JsonRpcProvider(rpc, undefined, { cacheTimeout: -1 }),
  viem: createPublicClient({ chain, transport: http(rpc) }),
}));
const [sender, outsider, party] = clients;
const sent = [];

await check("private transactions are sent through ethers' provider", async () => {
  // Enough that both v, 37 and 38, are among them.
  for (let first = 0; first < 16; first += 1) {
    const data = `${counter.bytecode}${first.toString(16).padStart(64, "0")}`;
    sent.push(await sender.ethers.send("eth_sendTransaction", [
      { from: nodes[0].account, data, privateFor: [nodes[2].privacy_key] },
    ]));
  }
  const receipts = await within(
    Promise.all(sent.map((hash) => sender.ethers.waitForTransaction(hash))), "receipts",
  );
  assert.ok(receipts.every(({ status }) => status === 1));
});

await check("blocks with private transactions are read at parties and outsiders", async () => {
  const blocks = new Set();
  const marks = new Set();
  for (const { ethers, viem } of [sender, outsider, party]) {
    for (const hash of sent) {
      const receipt = await within(ethers.waitForTransaction(hash), "receipt");
      const [one, other] = [await ethers.getTransaction(hash), await viem.getTransaction({ hash })];
      assert.equal(one.from.toLowerCase(), nodes[0].account);
      assert.equal(other.from, nodes[0].account);
      assert.equal(other.input, one.data);
      assert.equal((one.data.length - 2) / 2, 64);
      assert.equal(one.chainId, 1n);
      marks.add(other.v);
      blocks.add(receipt.blockNumber);
      const seen = await viem.getTransactionReceipt({ hash });
      assert.deepEqual([seen.status, seen.blockHash], ["success", receipt.blockHash]);
    }
    for (const number of blocks) {
      const one = await ethers.getBlock(number, true);
      const options = { blockNumber: BigInt(number), includeTransactions: true };
      const other = await viem.getBlock(options);
      assert.equal(other.hash, one.hash);
      const hashes = one.prefetchedTransactions.map(({ hash }) => hash);
      assert.deepEqual(other.transactions.map(({ hash }) => hash), hashes);
      assert.ok(hashes.some((hash) => sent.includes(hash)));
    }
  }
  assert.deepEqual([...marks].toSorted(), [37n, 38n]);
});

await check("ethers sends and deploys in public", async () => {
  const wallet = new Wallet(signer.private_key, sender.ethers);
  const receipt = await within(
    (await wallet.sendTransaction({ to: wallet.address, value: 1n })).wait(), "receipt",
  );
  const seen = await within(outsider.ethers.waitForTransaction(receipt.hash), "receipt elsewhere");
  assert.equal(seen.blockHash, receipt.blockHash);
});

await check("viem sends and deploys in public", async () => {
  const account = privateKeyToAccount(signer.private_key);
  const wallet = createWalletClient({ chain, account, transport: http() });
  const hash = await wallet.deployContract({
    abi: counter.abi, bytecode: counter.bytecode, args: [7n],
  });
  const { contractAddress: address } = await within(
    outsider.viem.waitForTransactionReceipt({ hash, pollingInterval: 100 }), "receipt elsewhere",
  );
  const read = { address, abi: counter.abi, functionName: "value" };
  assert.equal(await outsider.viem.readContract(read), 7n);
});

finish();
