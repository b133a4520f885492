#!/usr/bin/env python3
"""Three GoQuorum nodes whose private transaction managers are `entente privacy`: a private contract
between two of them works, and the third sees nothing of it. Prints what it sees; fails on a surprise.

usage: goquorum-with-entente-privacy.py ENTENTE GETH [--base PORT] [--keep]

ENTENTE and GETH are the programs (GoQuorum 24.4). All lives in a temporary folder and on loopback, and
ends with the script. Python packages: eth-account, eth-keys.
"""
import argparse, base64, hashlib, json, os, pathlib, shutil, signal, subprocess, tempfile, time
import urllib.error, urllib.parse, urllib.request
from eth_account import Account
from eth_keys import keys

NODES = 3
# Not Berlin: with it GoQuorum 24.4.1 crashes when it simulates a private transaction (no access list).
FORKS = ('homestead', 'eip150', 'eip155', 'eip158', 'byzantium', 'constantinople', 'petersburg', 'istanbul')
# Nobody's money: the key stands here.
SENDER = Account.from_key(hashlib.sha256(b'sender').digest())
# Returns slot 0; a call with 32 bytes stores them there. The constructor stores 42.
RUNTIME = '3615600c57' + '60003560005500' + '5b60005460005260206000f3'
INIT = '602a600055' + '60%02x' % (len(RUNTIME) // 2) + '80' + '60%02x' % (5 + 11) + '6000396000f3' + RUNTIME

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('entente'); parser.add_argument('geth')
parser.add_argument('--base', type=int, default=23500); parser.add_argument('--keep', action='store_true')
options = parser.parse_args()
folder = pathlib.Path(tempfile.mkdtemp(prefix='entente-q2t-'))
running = {}


def start(name, command):
    log = open(folder / f'{name}.log', 'a')
    running[name] = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log,
                                     env={k: v for k, v in os.environ.items() if k != 'PRIVATE_CONFIG'})


def stop(name):
    process = running.pop(name)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill(); process.wait()


def http(url, body=None, method=None):
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=method)
    request.add_header('Content-Type', 'application/json')
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def rpc(node, method, *params):
    status, text = http(f'http://127.0.0.1:{options.base + node}', dict(jsonrpc='2.0', id=1, method=method, params=params))
    answer = json.loads(text)
    if 'error' in answer:
        raise RuntimeError(answer['error']['message'])
    return answer['result']


def manager(node, path, **more):
    return http(f'http://127.0.0.1:{options.base + 100 + node}{path}', **more)


def wait(what, look, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if (seen := look()) is not None:
                return seen
        except (OSError, RuntimeError, ValueError):
            pass
        for name, process in running.items():
            if process.poll() is not None:
                raise SystemExit(f'{name} ended: ' + (folder / f'{name}.log').read_text()[-2000:])
        time.sleep(0.2)
    raise SystemExit(f'waited {seconds} s for {what}')


def expect(what, seen, wanted):
    print(f'{what}: {seen}', flush=True)
    if seen != wanted:
        raise SystemExit(f'{what}: {wanted} was expected')


def start_managers():
    (folder / 'password').write_text('not secret'); (folder / 'password').chmod(0o600)
    parties, ids = [], []
    for node in range(NODES):
        made = subprocess.run([options.entente, 'key', 'privacy', 'new', '--dir', folder / f'keys{node}', '--password-file', folder / 'password'],
                              check=True, capture_output=True, text=True)
        parties.append(made.stdout.strip())
        path = folder / f'privacy{node}.toml'
        path.write_text(f'''data_dir = "{folder}/manager{node}"
environment = "goquorum"
[q2t]
listen = "127.0.0.1:{options.base + 100 + node}"
[p2p]
listen = "127.0.0.1:{options.base + 110 + node}"
peers = [{", ".join(f'"{id}@127.0.0.1:{options.base + 110 + other}"' for other, id in enumerate(ids))}]
[privacy]
key_folder = "{folder}/keys{node}"
password_file = "{folder}/password"
''')
        start_manager(node)
        log = folder / f'manager{node}.log'
        # A line ends `node=ID p2p=ADDRESS`; each manager dials those that were started before it.
        ids.append(wait('the id of a manager', lambda: next((word[5:] for word in log.read_text().split() if word.startswith('node=')), None)))
    for node in range(NODES):
        know_each_other(node)
    return parties


def start_manager(node):
    start(f'manager{node}', [options.entente, 'privacy', '--config', folder / f'privacy{node}.toml'])
    wait('a manager', lambda: manager(node, '/upcheck')[0] == 200 or None)


def know_each_other(node):
    wait('all keys', lambda: len(json.loads(manager(node, '/partyinfo/keys')[1])['keys']) == NODES or None)


def start_nodes():
    secrets = [hashlib.sha256(b'node%d' % node).digest() for node in range(NODES)]
    public = [keys.PrivateKey(secret).public_key for secret in secrets]
    config = dict(chainId=1337, isQuorum=True, privacyEnhancementsBlock=0, txnSizeLimit=64, maxCodeSizeConfig=[dict(block=0, size=64)])
    config.update({f'{fork}Block': 0 for fork in FORKS})
    zero = '0x' + '00' * 32
    genesis = dict(config=config, nonce='0x0', timestamp='0x0', extraData=zero, gasLimit='0xbebc200', difficulty='0x0', mixHash=zero,
                   coinbase='0x' + '00' * 20, number='0x0', gasUsed='0x0', parentHash=zero, alloc={SENDER.address: dict(balance='0xde0b6b3a7640000')})
    (folder / 'genesis.json').write_text(json.dumps(genesis))
    peers = [f'enode://{key.to_bytes().hex()}@127.0.0.1:{options.base + 120 + node}?discport=0&raftport={options.base + 130 + node}' for node, key in enumerate(public)]
    for node in range(NODES):
        data = folder / f'node{node}'
        (data / 'geth').mkdir(parents=True); (data / 'keystore').mkdir()
        (data / 'geth/nodekey').write_text(secrets[node].hex())
        for name in ('static-nodes.json', 'geth/static-nodes.json'):
            (data / name).write_text(json.dumps(peers))
        # The node signs private transactions of this account.
        (data / 'keystore/sender').write_text(json.dumps(Account.encrypt(SENDER.key, 'x', iterations=2)))
        (data / 'account-password').write_text('x')
        with open(folder / f'init{node}.log', 'w') as log:
            subprocess.run([options.geth, '--datadir', data, 'init', folder / 'genesis.json'], check=True, stdout=log, stderr=log,
                           env=dict(os.environ, PRIVATE_CONFIG='ignore'))
    for node in range(NODES):
        start_node(node)
    for node in range(NODES):
        wait('a leader', lambda: rpc(node, 'raft_leader') or None)


def start_node(node):
    base = options.base
    start(f'node{node}', [options.geth, '--datadir', folder / f'node{node}', '--networkid', '1337', '--nodiscover', '--port', base + 120 + node,
                          '--http', '--http.port', base + node, '--http.api', 'eth,net,raft,quorumExtension,personal', '--raft', '--raftport', base + 130 + node, '--raftblocktime', '50',
                          '--ptm.url', f'http://127.0.0.1:{base + 100 + node}', '--unlock', SENDER.address, '--password', folder / f'node{node}/account-password',
                          '--allow-insecure-unlock', '--miner.gasprice', '0', '--txpool.pricelimit', '0', '--ipcdisable', '--syncmode', 'full', '--verbosity', '3', '--nat', 'none'])
    wait('a node', lambda: rpc(node, 'eth_blockNumber'))


def send(node, parties, **fields):
    transaction = {'from': SENDER.address, 'gas': '0x47b760', 'gasPrice': '0x0', 'privateFor': parties, **fields}
    hash = rpc(node, 'eth_sendTransaction', transaction)
    everywhere = [wait('a receipt', lambda: rpc(other, 'eth_getTransactionReceipt', hash)) for other in range(NODES)]
    return rpc(node, 'eth_getTransactionByHash', hash), everywhere


def value(node, contract):
    return rpc(node, 'eth_call', dict(to=contract, data='0x'), 'latest')


def word(number):
    return '0x' + number.to_bytes(32, 'big').hex()


def run():
    parties = start_managers()
    print('managers:', *parties, sep='\n  ', flush=True)
    start_nodes()
    log = (folder / 'node0.log').read_text()
    print(next(line for line in log.splitlines() if 'Tessera API version' in line), flush=True)
    a, b, c = range(NODES)
    for flag in (0, 1, 3):
        print(f'\nprivacyFlag {flag}: a contract of A for B', flush=True)
        privacy = {} if flag == 0 else dict(privacyFlag=flag)
        transaction, receipts = send(a, [parties[b]], data='0x' + INIT, **privacy)
        contract = receipts[a]['contractAddress']
        payload = bytes.fromhex(transaction['input'][2:])
        expect('bytes on the chain, v', (len(payload), transaction['v'] in ('0x25', '0x26')), (64, True))
        expect('code at A, B, C', [rpc(node, 'eth_getCode', contract, 'latest') for node in range(NODES)], ['0x' + RUNTIME, '0x' + RUNTIME, '0x'])
        expect('value at A, B, C', [value(node, contract) for node in range(NODES)], [word(42), word(42), '0x'])
        send(b, [parties[a]], to=contract, data=word(7 + flag), **privacy)
        expect('after B has set it', [value(node, contract) for node in range(NODES)], [word(7 + flag), word(7 + flag), '0x'])
        path = '/transaction/' + urllib.parse.quote(base64.b64encode(payload).decode(), safe='')
        expect('managers answer', [manager(node, path)[0] for node in range(NODES)], [200, 200, 404])
        expect('is it the sender', [manager(node, path + '/isSender')[1] for node in (a, b)], ['true', 'false'])
        if flag:
            try:
                _, receipts = send(c, [parties[a]], to=contract, data=word(1), **privacy)
                print('C, no party, has sent to it, status at A:', receipts[a]['status'], flush=True)
            except RuntimeError as error:
                print('C, no party, is refused:', error, flush=True)
            expect('and nothing has changed', [value(node, contract) for node in (a, b)], [word(7 + flag)] * 2)
    print('\nthe manager of B is stopped', flush=True)
    stop(f'node{b}'); stop(f'manager{b}')
    try:
        send(a, [parties[b]], data='0x' + INIT)
        raise SystemExit('a payload was sent to a manager that is down')
    except RuntimeError as error:
        print('A is told:', error, flush=True)
        assert parties[b] in str(error)
    start_manager(b); know_each_other(a); know_each_other(b); start_node(b)
    expect('B reads again', wait('node B', lambda: value(b, contract)), word(10))
    heads = wait('one head', lambda: (lambda heads: heads if len(set(heads)) == 1 else None)([rpc(node, 'eth_getBlockByNumber', 'latest', False)['hash'] for node in range(NODES)]))
    print('one head at all:', heads[0], flush=True)


try:
    run()
finally:
    for name in sorted(running, reverse=True):
        stop(name)
    if options.keep:
        print('kept:', folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
