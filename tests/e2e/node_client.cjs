// A program with one of Node's Redis clients, plain and for clusters: `node node_client.cjs LIBRARY PLAIN CLUSTER`, both
// ports of one node. It prints `ready` once both have done what clients do, and then a JSON line with what became of the
// writes that they do from then on, after a line on its standard input, and some more of them.
'use strict';

const assert = require('node:assert');
const { once } = require('node:events');

const [library, plainPort, clusterPort] = process.argv.slice(2);
const host = '127.0.0.1';
const MORE = 30;

const clients = {
  async ioredis() {
    const Redis = require('ioredis');
    return {
      plain: new Redis(plainPort, host),
      cluster: new Redis.Cluster([{ host, port: plainPort }, { host, port: clusterPort }]),
    };
  },
  async redis() {
    const { createClient, createCluster } = require('redis');
    const plain = createClient({ url: `redis://${host}:${plainPort}` });
    const cluster = createCluster({ rootNodes: [{ url: `redis://${host}:${clusterPort}` }] });
    for (const client of [plain, cluster]) client.on('error', () => {});
    await Promise.all([plain.connect(), cluster.connect()]);
    return { plain, cluster };
  },
};

// What `exec` gives: ioredis has a pair of error and reply for each command.
const replies = (found) => (library === 'ioredis' ? found.map(([error, reply]) => error ?? reply) : found);

async function tryBasics(client, name) {
  const key = (suffix) => `{${name}}:${suffix}`;
  assert.equal(await client.set(key('greeting'), 'hello'), 'OK');
  assert.equal(await client.get(key('greeting')), 'hello');
  assert.equal(await client.get(key('none')), null);
  assert.equal(await client.incr(key('n')), 1);
  assert.equal(await client.del(key('greeting')), 1);
  const many = Array.from({ length: 300 }, (_, number) => client.set(`${name}:${number}`, String(number)));
  assert.deepEqual(new Set(await Promise.all(many)), new Set(['OK']));
  const queued = client.multi().incr(key('n')).get(key('n'));
  assert.deepEqual(replies(await queued.exec()), [2, '2']);
  await assert.rejects(client.incr(`${name}:x`).then(() => client.set(`${name}:x`, 'x')).then(() => client.incr(`${name}:x`)));
}

async function tryWatch(client) {
  await client.watch('watched');
  const other = client.duplicate();
  if (library === 'redis') await other.connect();
  await other.set('watched', 'changed');
  const queued = client.multi().set('watched', 'lost');
  if (library === 'ioredis') assert.equal(await queued.exec(), null);
  else await assert.rejects(queued.exec(), { constructor: require('redis').WatchError });
  assert.equal(await client.get('watched'), 'changed');
  await (library === 'ioredis' ? other.quit() : other.close());
}

async function writeOn(client, name, wasKilled) {
  const became = { done: 0, failed: 0, wrong: 0 };
  let more = 0;
  while (more < MORE) {
    const key = `${name}:${became.done}`;
    try {
      await client.set(key, key);
      if ((await client.get(key)) !== key) became.wrong++;
      became.done++;
      if (wasKilled()) more++;
    } catch {
      became.failed++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return became;
}

async function main() {
  const { plain, cluster } = await clients[library]();
  await tryBasics(plain, 'plain');
  await tryBasics(cluster, 'cluster');
  await tryWatch(plain);
  let killed = false;
  once(process.stdin, 'data').then(() => { killed = true; });
  console.log('ready');
  const [ofPlain, ofCluster] = await Promise.all([
    writeOn(plain, 'plain', () => killed),
    writeOn(cluster, 'cluster', () => killed),
  ]);
  console.log(JSON.stringify({ plain: ofPlain, cluster: ofCluster }));
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
