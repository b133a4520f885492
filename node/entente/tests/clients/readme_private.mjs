import counter from "../../../../testdata/contracts/Counter.json" with { type: "json" };
import { readFileSync } from "node:fs";
import { Contract, ContractFactory, JsonRpcProvider } from "ethers";

const { nodes } = JSON.parse(readFileSync(process.argv[2]));
const rpc = nodes.map((node) => new JsonRpcProvider(node.rpc));

// Node 1 deploys with its own account; node 3 is the other party.
const { data } = await new ContractFactory(counter.abi, counter.bytecode).getDeployTransaction(41);
const hash = await rpc[1].send("eth_sendTransaction", [
  { from: nodes[1].account, data, privateFor: [nodes[3].privacy_key] },
]);

for (const [index, node] of rpc.entries()) {
  const { contractAddress } = await node.waitForTransaction(hash);
  const isParty = (await node.getCode(contractAddress)) !== "0x";
  const value = isParty ? await new Contract(contractAddress, counter.abi, node).value() : "nothing";
  console.log(`node ${index} reads ${value}`);
  node.destroy();
}
