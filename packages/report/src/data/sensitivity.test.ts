import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { trainRun } from 'mamba-prune';
import { sensitivityRun } from 'mamba-prune/workflows';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyTraining, writeTinyImages } from '../../../mamba-prune/src/workflows/testing/tiny.js';
import { sensitivitiesOf } from '../../page/sensitivities.js';
import { collect } from './collect.js';
import { findRuns } from './find-runs.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-report-sensitivity-'));
  await writeTinyImages(at('images'));
  mkdirSync(at('runs'));
  (await trainRun(tinyTraining(at('images')), { out: at('runs', 'dense') })).model.dispose();
  await sensitivityRun(
    {
      model: at('runs', 'dense', 'model.safetensors'),
      dataset: 'folder',
      data: at('images'),
      images: 8,
      rates: [0.5, 0.8],
      search: { method: 'greedy', target: { metric: 'units', amount: '0.5x' } },
    },
    { out: at('s.json') },
  );
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('measurements of sensitivity', () => {
  it('come with the run that they lie in', () => {
    const file = at('runs', 'dense', 'sensitivity.json');
    expect(collect(findRuns([at('runs')])).runs[0]?.sensitivity).toBeUndefined();
    copyFileSync(at('s.json'), file);
    const report = collect(findRuns([at('runs')]));
    const { sensitivity } = report.runs[0] ?? {};
    expect(sensitivity).toMatchObject({
      id: 'dense',
      by: 'group',
      rates: [0.5, 0.8],
      images: { dataset: 'folder', split: 'train', count: 8 },
      finished: true,
    });
    expect(
      sensitivity?.parts.map(({ name, units, points }) => [name, units, points.length]),
    ).toEqual([
      ['blocks.0.ssm', 16, 2],
      ['blocks.0.mlp', 32, 2],
      ['blocks.1.ssm', 16, 2],
      ['blocks.1.mlp', 32, 2],
    ]);
    const cut = sensitivity?.parts.map(({ units, cut: share = NaN }) => units * share) ?? [];
    // Half of the 96 units, as the search was told.
    expect(cut.reduce((a, b) => a + b, 0)).toBeCloseTo(48, 9);
    expect(sensitivitiesOf(report)).toEqual([sensitivity]);

    writeFileSync(file, '{}');
    const damaged = collect(findRuns([at('runs')]));
    expect(damaged.runs[0]?.sensitivity).toBeUndefined();
    expect(damaged.notes.join()).toContain(`${file} is no measurement of sensitivity`);
  });

  it('can be named themselves, alone or beside runs', () => {
    const alone = collect(findRuns([at('s.json')]));
    expect([alone.runs, alone.sensitivities?.map(({ id }) => id)]).toEqual([[], ['s.json']]);
    const both = collect(findRuns([at('s.json'), at('runs')]));
    expect(both.runs).toHaveLength(1);
    expect(sensitivitiesOf(both)).toHaveLength(1);
    writeFileSync(at('other.json'), '[]');
    expect(() => collect(findRuns([at('other.json')]))).toThrow('is no measurement of sensitivity');
    expect(() => findRuns([at('none.json')])).toThrow(
      'does not exist, expected the folder of a run',
    );
  });
});
