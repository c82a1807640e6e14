import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Transpiled, transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { prepare } from './prepare.js';
import { PrepareThreads } from './threads.js';

const [width, height] = [1500, 1000];
const input = { channels: 3, size: 16 };
const way = { interpolation: 'bicubic', cropShare: 0.9 } as const;
const byte = (i: number): number => (i * 31 + (i >> 7)) & 255;
const picture = {
  data: Uint8Array.from({ length: 3 * width * height }, (_, i) => byte(i)),
  width,
  height,
  channels: 3,
} as const;

describe('PrepareThreads', () => {
  let compiled: Transpiled;
  beforeAll(() => {
    compiled = transpiledMambaPrune();
  });
  afterAll(() => {
    compiled.remove();
  });

  it('gives the bits of the main thread, says what fails, and lets the process end', () => {
    const module = pathToFileURL(
      join(compiled.folder, 'packages/mamba-prune/src/preparation/threads.js'),
    ).href;
    const script = `
      const { PrepareThreads } = await import(${JSON.stringify(module)});
      const data = Uint8Array.from({ length: ${3 * width * height} }, (_, i) => (i * 31 + (i >> 7)) & 255);
      const picture = { data, width: ${width}, height: ${height}, channels: 3 };
      let started = 0;
      process.on('worker', () => { started++; });
      const threads = new PrepareThreads(2);
      const [input, way] = [${JSON.stringify(input)}, ${JSON.stringify(way)}];
      const same = await Promise.all([1, 2, 3].map(() => threads.prepare(picture, input, way)));
      const wrong = await threads.prepare(picture, input, { ...way, interpolation: 'no' }).catch((e) => e.message);
      console.log(JSON.stringify({ started, same: same.map((p) => [...p]), wrong }));
    `;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const { started, same, wrong } = JSON.parse(printed) as {
      started: number;
      same: number[][];
      wrong: string;
    };
    const own = [...prepare(picture, input, way)];
    expect(started).toBe(2);
    expect(same).toEqual([own, own, own]);
    expect(wrong).toContain('TypeError');
  });

  it('does it on the main thread where there is no compiled script', async () => {
    expect(await new PrepareThreads().prepare(picture, input, way)).toEqual(
      prepare(picture, input, way),
    );
  });
});
