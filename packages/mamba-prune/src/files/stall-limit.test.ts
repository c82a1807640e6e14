import { type RequestListener, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { withStallLimit } from './stall-limit.js';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: RequestListener): Promise<string> {
  const made = createServer(answer);
  server = made;
  await new Promise<void>((listening) => made.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}/x`;
}

const thrownBy = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
const silence = { message: 'nothing received for 100 ms' };

describe('a fetch with a limit of silence', () => {
  it('fails as the network does where no answer begins', async () => {
    const url = await serve(() => undefined);
    const error = await thrownBy(withStallLimit(fetch, { stallMs: 100 })(url));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: 'fetch failed', cause: silence });
  });

  it('fails where an answer begins and never ends', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).write('[1,');
    });
    const response = await withStallLimit(fetch, { stallMs: 100 })(url);
    const error = await thrownBy(response.json());
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ cause: silence });
  });

  it('gives the whole answer, and where it came from, however slowly its pieces come', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(201, { 'X-Note': 'here' });
      const pieces = ['a', 'b', 'c', 'd', 'e', 'f'];
      const timer = setInterval(() => {
        const next = pieces.shift();
        if (next !== undefined) response.write(next);
        else {
          clearInterval(timer);
          response.end();
        }
      }, 40);
    });
    // Less than the whole takes, and more than a piece.
    const response = await withStallLimit(fetch, { stallMs: 200 })(url);
    expect(response).toMatchObject({ status: 201, url });
    expect(response.headers.get('x-note')).toBe('here');
    expect(await response.text()).toBe('abcdef');
  });

  it('ends with the reason of a signal, of its own or of a request', async () => {
    const url = await serve(() => undefined);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    expect(await thrownBy(withStallLimit(fetch, { signal })(url))).toBe(reason);
    expect(await thrownBy(withStallLimit(fetch, {})(url, { signal }))).toBe(reason);
  });

  it('leaves other errors as they are', async () => {
    const error = new TypeError('fetch failed', { cause: new Error('no route') });
    const call = withStallLimit(() => Promise.reject(error), {});
    expect(await thrownBy(call('http://127.0.0.1:2'))).toBe(error);
  });
});
