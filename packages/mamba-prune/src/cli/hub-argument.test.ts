// Commands whose MODEL is hf:owner/name, against a server that speaks the hub's protocol.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HubServer } from '../hub/testing/hub-server.js';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { runCli } from './testing/run-cli.js';

let folder = '';
let server: HubServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-hub-cli-'));
  manualSeed(1);
  const sizes = { dModel: 8, depth: 1, dState: 2, channels: 1, imageSize: 8, numClasses: 2 };
  const info = { classes: ['dark', 'light'], mean: [0.5], std: [0.5], history: [] };
  saveModel(join(folder, 'small.safetensors'), createModel('mamba_nano', sizes), info);
  const weights = readFileSync(join(folder, 'small.safetensors'));
  server = await HubServer.start({
    'lab/small': {
      refs: { main: 'a'.repeat(40) },
      files: { 'model.safetensors': weights },
      lfs: ['model.safetensors'],
    },
  });
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
  vi.stubEnv('HF_HUB_CACHE', join(folder, 'cache'));
  vi.stubEnv('HF_TOKEN_PATH', join(folder, 'no-token'));
});

afterAll(() => {
  server.stop();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('hf:owner/name as a MODEL', () => {
  it('is downloaded and inspected', async () => {
    const { status, stdout } = await runCli(['inspect', 'hf:lab/small', '--json']);
    expect(status).toBe(0);
    const here = await runCli(['inspect', join(folder, 'small.safetensors'), '--json']);
    const facts = JSON.parse(stdout) as { path: string };
    const { path } = facts;
    expect(facts).toEqual({ ...(JSON.parse(here.stdout) as object), path, model: path });
    expect(facts.path).toContain(join('models--lab--small', 'snapshots', 'a'.repeat(40)));
  });

  it('is the title of what is said of it, not the path in the cache', async () => {
    const { stdout } = await runCli(['inspect', 'hf:lab/small']);
    expect(stdout.split('\n')[0]).toBe('hf:lab/small');
  });

  it('has the name of the repository in tables', async () => {
    const bench = ['bench', 'hf:lab/small', '--batch', '1', '--runs', '1', '--min-time', '0'];
    const { status, stdout } = await runCli(bench);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}batch 1 .*\n.*\n {2}lab\/small /m);
  });

  it('fails with what to do if there is no such repository', async () => {
    const { status, stderr } = await runCli(['inspect', 'hf:lab/other']);
    expect(status).toBe(1);
    expect(stderr).toContain('there is no such repository, or it is private');
  });

  it('is wrong usage if it is misspelled', async () => {
    const { status, stderr } = await runCli(['inspect', 'hf:small']);
    expect(status).toBe(2);
    expect(stderr).toContain("got 'hf:small', expected hf:owner/name");
  });
});
