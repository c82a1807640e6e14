// Servers that are no hub, such as a proxy with a login page: what reading and pushing say of them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { HubError } from './errors.js';
import { fetchFromHub } from './fetch.js';
import { pushToHub } from './push.js';

const folder = mkdtempSync(join(tmpdir(), 'no-hub-'));
mkdirSync(join(folder, 'pushed'));
writeFileSync(join(folder, 'pushed', 'model.safetensors'), 'weights');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let server: Server;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function answering(text: string): Promise<string> {
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(text);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each(['<html>Please log in</html>', '', 'null'])('that answer %j are named', async (text) => {
  const endpoint = await answering(text);
  const options = { endpoint, token: 'hf_writer' };
  const read = { ...options, cacheDir: join(folder, 'cache'), retries: 0 };
  const words = `${endpoint} answers otherwise than a hub does. Is HF_ENDPOINT a hub`;
  for (const doing of [
    () => fetchFromHub('hf:lab/vim', read),
    () => pushToHub(join(folder, 'pushed'), 'lab/vim', options),
    () => pushToHub(join(folder, 'pushed'), 'lab/vim', { ...options, create: true }),
  ]) {
    const error: unknown = await doing().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(HubError);
    expect((error as Error).message).toContain(words);
  }
});

it('that tell no commit are not taken for an upload', async () => {
  const endpoint = await answering('{"files": []}');
  await expect(
    pushToHub(join(folder, 'pushed'), 'lab/vim', { endpoint, token: 'hf_writer' }),
  ).rejects.toThrow(`lab/vim: ${endpoint} answers without a commit. Is HF_ENDPOINT a hub?`);
});
