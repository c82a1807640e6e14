// A model of mamba-prune as it comes out of its export, through the whole server.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed } from '@mamba-prune/libtorch';
import { createModel, exportOnnx, predictImages, pruneOneShot } from 'mamba-prune';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openClassifier } from './classifier.js';
import { picture } from './testing/images.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const limits = { maxPixels: 1e6, maxSide: 8192, timeoutMs: 3_600_000 };
const info = {
  classes: ['cat', 'dog', 'ship'],
  mean: [0.5, 0.4, 0.3],
  std: [0.25, 0.2, 0.3],
  history: [],
};
let folder = '';
let model = '';
let expected: number[][] = [];
let paths: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-serve-'));
  model = join(folder, 'pruned.onnx');
  manualSeed(3);
  const dense = createModel('mamba_nano', {
    dModel: 16,
    depth: 2,
    imageSize: 16,
    channels: 3,
    numClasses: 3,
  });
  const { model: pruned } = await pruneOneShot(dense, {
    importance: 'l2',
    ranking: 'global',
    rates: { ssm: 0.5, mlp: 0.5 },
  });
  await exportOnnx(model, pruned, info);
  // Squares of twice the model's side: resizing them is the same in every way of doing it.
  paths = await Promise.all(
    [10, 90, 200].map(async (level) => {
      const path = join(folder, `${level}.png`);
      writeFileSync(path, await picture('png', { width: 32, height: 32, level }));
      return path;
    }),
  );
  // Before decode.ts is loaded, which leaves libvips no way to read files.
  const predictions = await predictImages(pruned, info, paths);
  expected = predictions.map(({ top }) =>
    top.toSorted((a, b) => a.index - b.index).map(({ probability }) => probability),
  );
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a model of mamba-prune export', () => {
  it('says what the library says of the same images, alone and in a batch', async () => {
    const { decodeImage } = await import('./decode.js');
    const classifier = await openClassifier(model, 1);
    expect(classifier.shape).toEqual([3, 16, 16]);
    expect(classifier.classes).toEqual(info.classes);
    expect(classifier.description).toMatchObject({ arch: 'mamba_nano' });
    const images = await Promise.all(
      paths.map((path) => decodeImage(readFileSync(path), 'image/png', classifier, limits)),
    );
    const together = await classifier.run(images);
    const alone = await Promise.all(images.map((image) => classifier.run([image])));
    for (const [i, values] of expected.entries()) {
      for (const [j, value] of values.entries()) {
        // Two runtimes in float32, which add up in different orders.
        expect(Math.abs((together[i]?.[j] ?? NaN) - value)).toBeLessThan(1e-4);
        expect(Math.abs((alone[i]?.[0]?.[j] ?? NaN) - value)).toBeLessThan(1e-4);
      }
    }
    // The images differ, so that a mix-up would be seen.
    expect(expected[0]).not.toEqual(expected[2]);
    await classifier.release();
  });

  it('answers for every class where it has no names of them', async () => {
    const nameless = join(folder, 'nameless.onnx');
    await exportOnnx(nameless, createModel('mamba_nano', { dModel: 16, depth: 1, numClasses: 3 }), {
      ...info,
      classes: [],
    });
    const classifier = await openClassifier(nameless, 1);
    const size = classifier.shape.reduce((product, side) => product * side);
    const [first, second] = await classifier.run([new Uint8Array(size), new Uint8Array(size)]);
    for (const probabilities of [first, second]) {
      expect(probabilities).toHaveLength(3);
      // Rounded to float32 each.
      expect(probabilities?.reduce((sum, value) => sum + value)).toBeCloseTo(1, 5);
    }
    await classifier.release();
  });

  it('is told apart from other files', async () => {
    const other = join(folder, 'other.onnx');
    writeFileSync(other, 'not a model');
    await expect(openClassifier(other, 1)).rejects.toThrow(/other\.onnx (is no ONNX file|has no)/);
    await expect(openClassifier(join(folder, 'none.onnx'), 1)).rejects.toThrow('ENOENT');
  });
});

interface Process {
  readonly child: ChildProcess;
  /** Lines of the log so far. */
  readonly log: Record<string, unknown>[];
  readonly ended: Promise<number | null>;
  readonly stderr: () => string;
}

const hour = '3600000';
const patient = { BATCH_WAIT_MS: hour, TIMEOUT_MS: hour, GRACE_MS: hour };
const running = new Set<ChildProcess>();

function start(...args: string[]): Process {
  const child = spawn(process.execPath, [join(root, 'dist', 'main.js'), ...args], {
    // As long as it takes: a request waits for company until the end, and nothing is given up.
    env: { ...process.env, PORT: '0', MODEL: '', ...patient },
  });
  const log: Record<string, unknown>[] = [];
  let [rest, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) log.push(JSON.parse(line) as Record<string, unknown>);
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  running.add(child);
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      running.delete(child);
      resolve(code);
    });
  });
  return { child, log, ended, stderr: () => stderr };
}

async function logged({ log, child, stderr }: Process, message: RegExp): Promise<string> {
  for (;;) {
    const line = log.find(({ msg }) => message.test(String(msg)));
    if (line) return String(line['msg']);
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('the program', () => {
  beforeAll(() => {
    const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
    const { status, stdout } = spawnSync(
      process.execPath,
      [join(typescript, 'bin', 'tsc'), '-b', root],
      { encoding: 'utf8' },
    );
    expect(status, stdout).toBe(0);
  });
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  it('serves, logs a line of JSON for each request, and ends well at SIGTERM with requests in flight', async () => {
    const server = start(model);
    const [url = ''] = /http:\S+/.exec(await logged(server, /listening at/)) ?? [];
    await logged(server, /^ready$/);
    const upload = (path: string): Promise<Response> =>
      fetch(`${url}/classify`, {
        method: 'POST',
        headers: { 'content-type': 'image/png' },
        body: new Uint8Array(readFileSync(path)),
      });
    // They wait for company, which is the signal.
    const answers = paths.map(upload);
    while (((await (await fetch(`${url}/ready`)).json()) as { waiting: number }).waiting < 3);
    server.child.kill('SIGTERM');
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await server.ended).toBe(0);
    expect(server.stderr()).toBe('');
    const requests = server.log.filter(({ url: path }) => path === '/classify');
    expect(requests).toHaveLength(3);
    expect(requests[0]).toMatchObject({ msg: 'request', method: 'POST', status: 200, batch: 3 });
    // The line of a request may come after it: it is written when the client's connection says that all is sent.
    const stages = server.log.map(({ msg }) => msg).filter((msg) => msg !== 'request');
    expect(stages.slice(-2)).toEqual(['stopping', 'stopped']);
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it('says what is wrong with its settings', async () => {
    const server = start();
    expect(await server.ended).toBe(1);
    expect(server.stderr()).toBe(
      'serve: no model: give an .onnx file as the argument, or set MODEL\n',
    );
  });

  it('says what is wrong with its model', async () => {
    const server = start(join(folder, 'none.onnx'));
    expect(await server.ended).toBe(1);
    expect(server.stderr()).toContain('none.onnx');
  });
});
