// The store that workers meet in: see native/bindings/store_server.h.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { transpiledLibtorch } from '../../../../test/support/transpiled.js';
import { type Handle, native } from '../native.js';

const requestTimeoutMs = 20_000;
const built = transpiledLibtorch();
const script = join(built.src, 'distributed', 'testing', 'store-child.mjs');
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  built.remove();
});

function start(mode: string, port = 0): ChildProcess {
  const child = fork(script, [mode, String(port)]);
  children.add(child);
  return child;
}

/** A store in another process. */
async function hosted(mode: string): Promise<{ child: ChildProcess; store: Handle }> {
  const child = start(mode);
  const [port] = (await once(child, 'message')) as [number];
  return { child, store: opened(port, requestTimeoutMs) };
}

/** The greeting has to come within the limit too, which one of 50 ms may be too short for on a busy machine: asked for again. */
function opened(port: number, timeoutMs: number): Handle {
  for (let left = 100; ; left--) {
    try {
      return native.storeOpen('127.0.0.1', port, false, timeoutMs);
    } catch (error) {
      if (left === 0 || !String(error).includes('no answer in time')) throw error;
    }
  }
}

/** Every request; each with one key that the tests below do not use otherwise. */
const requests: [string, (store: Handle) => unknown][] = [
  [
    'set',
    (store) => {
      native.storeSet(store, 'k', 'v');
    },
  ],
  ['get', (store) => native.storeGet(store, 'k')],
  ['check', (store) => native.storeCheck(store, ['k'])],
  ['wait', (store) => native.storeWait(store, ['never'], requestTimeoutMs)],
  ['add', (store) => native.storeAdd(store, 'n', 1)],
  ['compareSet', (store) => native.storeCompareSet(store, 'k', '', 'v')],
  [
    'append',
    (store) => {
      native.storeAppend(store, 'k', 'v');
    },
  ],
  ['delete', (store) => native.storeDelete(store, 'k')],
  ['count', (store) => native.storeCount(store)],
  [
    'leave',
    (store) => {
      native.storeLeave(store, 'k', 'v');
    },
  ],
];

describe('a store', () => {
  let server: Handle;
  let client: Handle;
  let port: number;
  const strangers: Socket[] = [];
  beforeEach(() => {
    server = native.storeOpen('127.0.0.1', 0, true, requestTimeoutMs);
    port = native.storePort(server);
    client = native.storeOpen('127.0.0.1', port, false, requestTimeoutMs);
  });
  afterEach(() => {
    for (const stranger of strangers.splice(0)) stranger.destroy();
    native.storeClose(client);
    native.storeClose(server);
  });

  it.each([
    ['of 0 bytes', ''],
    ['of 1 MB', 'x'.repeat(1_000_000)],
    ['with a zero byte and letters outside of ASCII', 'a\0grüße, 你好'],
  ])('gives one client what another set: a value %s', (_, value) => {
    expect(native.storeGet(client, 'key')).toBeNull();
    native.storeSet(server, 'key', value);
    expect(native.storeGet(client, 'key')).toBe(value);
    native.storeSet(client, 'key', `${value}!`);
    expect(native.storeGet(server, 'key')).toBe(`${value}!`);
  });

  it('adds, compares, appends, deletes and counts as the stores of libtorch do', () => {
    expect(native.storeAdd(client, 'n', 5)).toBe(5);
    expect(native.storeAdd(server, 'n', -7)).toBe(-2);
    expect(native.storeGet(client, 'n')).toBe('-2');
    // A missing value equals an empty one, and is else reported to be as expected.
    expect(native.storeCompareSet(client, 'c', 'x', 'new')).toBe('x');
    expect(native.storeGet(client, 'c')).toBeNull();
    expect(native.storeCompareSet(client, 'c', '', 'first')).toBe('first');
    expect(native.storeCompareSet(client, 'c', 'x', 'second')).toBe('first');
    expect(native.storeCompareSet(client, 'c', 'first', 'second')).toBe('second');
    native.storeAppend(client, 'a', 'one');
    native.storeAppend(server, 'a', ', two');
    expect(native.storeGet(client, 'a')).toBe('one, two');
    expect(native.storeCheck(client, ['n', 'c', 'a'])).toBe(true);
    expect(native.storeCheck(client, ['n', 'z'])).toBe(false);
    expect(native.storeCount(client)).toBe(3);
    expect(native.storeDelete(client, 'c')).toBe(true);
    expect(native.storeDelete(client, 'c')).toBe(false);
    expect(native.storeCount(client)).toBe(2);
  });

  it('refuses to add to a value that is no number, and goes on', () => {
    for (const value of ['', 'one', '1x', '9223372036854775807', '9'.repeat(40)]) {
      native.storeSet(client, 'n', value);
      expect(() => native.storeAdd(client, 'n', 1)).toThrow(/cannot add 1 to the value of n/);
      expect(native.storeGet(client, 'n')).toBe(value);
    }
  });

  it('refuses a value that is too long, and goes on', () => {
    const long = 'x'.repeat(17 * 2 ** 20);
    expect(() => {
      native.storeSet(client, 'key', long);
    }).toThrow(/storeSet: got a message of \d+ bytes, expected at most 16777216/);
    native.storeSet(client, 'key', long.slice(0, 6 * 2 ** 20));
    expect(() => {
      native.storeAppend(client, 'key', long.slice(0, 6 * 2 ** 20));
    }).toThrow(/too long a value of key/);
    expect(native.storeGet(client, 'key')).toHaveLength(6 * 2 ** 20);
  });

  it('waits for a value that comes from another process', async () => {
    const child = start('set', port);
    // The other process has to start first.
    expect(native.storeWait(client, ['late'], 240_000)).toEqual(['here']);
    await once(child, 'exit');
  });

  it('says which values did not come in time, and goes on', () => {
    native.storeSet(client, 'a', '1');
    expect(() => native.storeWait(client, ['a', 'b'], 20)).toThrow(
      /storeWait: nobody set a, b within 0.02 s/,
    );
    native.storeSet(server, 'b', '2');
    expect(native.storeWait(client, ['a', 'b'], 20)).toEqual(['1', '2']);
  });

  it('reads out the last word of a client, if it is killed too, but not one that was replaced', async () => {
    const other = native.storeOpen('127.0.0.1', port, false, requestTimeoutMs);
    native.storeLeave(other, 'replaced', 'x');
    native.storeLeave(other, 'closed', 'yes');
    expect(native.storeGet(client, 'closed')).toBeNull();
    native.storeClose(other);
    expect(native.storeWait(client, ['closed'], requestTimeoutMs)).toEqual(['yes']);
    expect(native.storeGet(client, 'replaced')).toBeNull();
    const child = start('leave', port);
    await once(child, 'message');
    expect(native.storeGet(client, 'word')).toBeNull();
    child.kill('SIGKILL');
    expect(native.storeWait(client, ['word'], requestTimeoutMs)).toEqual(['gone']);
  });

  const greeting = Buffer.from('mps-1\r\n\0');
  const message = (...bytes: number[]) => Buffer.from([bytes.length, 0, 0, 0, ...bytes]);
  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['random bytes', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 167 + 91) % 256))],
    ['zeros', Buffer.alloc(100_000)],
    ['a wrong version', Buffer.from('mps-2\r\n\0')],
    ['a message of 4 GiB', Buffer.concat([greeting, Buffer.from([255, 255, 255, 255])])],
    ['no such request', Buffer.concat([greeting, message(99)])],
    ['an empty request', Buffer.concat([greeting, message()])],
    [
      'a key longer than its message',
      Buffer.concat([greeting, message(0, 1, 0, 0, 0, 9, 9, 9, 9)]),
    ],
    ['more pairs than there are', Buffer.concat([greeting, message(0, 255, 255, 255, 255)])],
    ['bytes after a request', Buffer.concat([greeting, message(7, 1)])],
    ['a request before the answer', Buffer.concat([greeting, waiting(), waiting()])],
  ])('closes the connection of a stranger that sends %s, and no other', async (_, bytes) => {
    const stranger = connect(port, '127.0.0.1');
    strangers.push(stranger);
    // Not events.once, which rejects when the connection ends by a reset.
    const closed = new Promise((resolve) => stranger.once('close', resolve));
    stranger.on('error', () => undefined);
    stranger.resume();
    stranger.write(bytes.subarray(0, 60));
    // Nobody reads the second request of a client that waits before more comes.
    await new Promise((resolve) => setTimeout(resolve, 20));
    stranger.write(bytes.subarray(60).length > 0 ? bytes.subarray(60) : '?');
    await closed;
    native.storeSet(client, 'key', 'value');
    expect(native.storeGet(server, 'key')).toBe('value');
  });

  function waiting(): Buffer {
    return message(2, 255, 255, 255, 255, 255, 255, 255, 127, 1, 0, 0, 0, 1, 0, 0, 0, 120);
  }

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half of a greeting', greeting.subarray(0, 3)],
    ['half of a message', Buffer.concat([greeting, Buffer.from([100, 0, 0, 0, 0])])],
    ['a request whose answer it does not read', Buffer.concat([greeting, waiting()])],
  ])('serves the others while strangers hold connections and send %s', async (_, bytes) => {
    for (let i = 0; i < 20; i++) {
      const stranger = connect(port, '127.0.0.1');
      strangers.push(stranger);
      stranger.pause();
      await once(stranger, 'connect');
      await new Promise((resolve) => stranger.write(bytes, resolve));
    }
    native.storeSet(client, 'key', 'value');
    expect(native.storeGet(server, 'key')).toBe('value');
    const another = native.storeOpen('127.0.0.1', port, false, requestTimeoutMs);
    expect(native.storeGet(another, 'key')).toBe('value');
    native.storeClose(another);
  });

  it('does not listen where another listens', () => {
    expect(() => native.storeOpen('127.0.0.1', port, true, requestTimeoutMs)).toThrow(
      /storeOpen: .*in use/,
    );
  });

  it('closes with clients connected, who are told', () => {
    native.storeClose(server);
    expect(() => native.storeGet(client, 'key')).toThrow(
      /storeGet: the store at 127.0.0.1:\d+ is lost: /,
    );
    expect(() => native.storeGet(client, 'key')).toThrow(/is lost: its connection broke before/);
    expect(() => native.storeGet(server, 'key')).toThrow(/expected a store that is open/);
    expect(() => native.storeOpen('127.0.0.1', port, false, requestTimeoutMs)).toThrow(/refused/);
  });
});

describe('a client of a store', () => {
  describe('whose server was killed before', () => {
    // A client for each, as what a request finds is lost for those after it too.
    const stores = new Map<string, Handle>();
    beforeAll(async () => {
      const child = start('host');
      const [port] = (await once(child, 'message')) as [number];
      for (const [name] of requests) stores.set(name, opened(port, requestTimeoutMs));
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    });
    afterAll(() => {
      for (const store of stores.values()) native.storeClose(store);
    });

    it.each(requests)('throws: %s', (name, request) => {
      expect(() => request(stores.get(name) ?? 0)).toThrow(
        /store\w+: the store at 127.0.0.1:\d+ is lost: /,
      );
    });
  });

  it('throws when its server is killed while it waits', async () => {
    const { child, store } = await hosted('host');
    child.send('die');
    expect(() => native.storeWait(store, ['never'], 600_000)).toThrow(
      /storeWait: the store at 127.0.0.1:\d+ is lost: /,
    );
    native.storeClose(store);
  });

  describe('whose server does not answer', () => {
    let port = 0;
    beforeAll(async () => {
      [port] = (await once(start('mute'), 'message')) as [number];
    });

    it.each(requests)('gives it up: %s', (name, request) => {
      const store = opened(port, 50);
      // A wait may last as long as it was asked to, and some seconds more for the answer.
      const ask = name === 'wait' ? () => native.storeWait(store, ['never'], 50) : request;
      expect(() => ask(store)).toThrow(/store\w+: the store at .* is lost: no answer in time/);
      native.storeClose(store);
    });
  });

  it('does not take another program for a store', async () => {
    await expect(hosted('http')).rejects.toThrow(/storeOpen: another program listens there/);
  });

  it('says which address is not known', () => {
    expect(() => native.storeOpen('no.such.host.invalid', 1, false, requestTimeoutMs)).toThrow(
      /storeOpen: the address no.such.host.invalid is not known/,
    );
  });
});
