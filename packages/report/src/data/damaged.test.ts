import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSafetensors, saveSafetensors } from '@mamba-prune/libtorch';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SmallRuns, makeSmallRuns } from '../testing/small-runs.js';
import { Watcher } from '../studio/watcher.js';
import { writeReport } from '../write-report.js';
import { collect } from './collect.js';
import { findRuns } from './find-runs.js';

let small: SmallRuns;
let folder: string;
beforeAll(async () => {
  small = await makeSmallRuns();
  folder = mkdtempSync(join(tmpdir(), 'mp-damaged-'));
});
afterAll(() => {
  small.remove();
  rmSync(folder, { recursive: true, force: true });
});

let runs: string;
let hurt: string;
beforeEach(() => {
  runs = join(folder, 'runs');
  hurt = join(runs, 'hurt');
  rmSync(runs, { recursive: true, force: true });
  mkdirSync(runs);
  cpSync(join(small.runs, 'dense'), join(runs, 'whole'), { recursive: true });
  cpSync(join(small.runs, 'oneshot'), hurt, { recursive: true });
});

type Json = Record<string, unknown>;

function change(name: string, edit: (value: Json) => unknown): () => void {
  return () => {
    const path = join(hurt, name);
    writeFileSync(path, JSON.stringify(edit(JSON.parse(readFileSync(path, 'utf8')) as Json)));
  };
}

/** Another line of metrics.jsonl in front of the others. */
function line(text: string): () => void {
  return () => {
    const path = join(hurt, 'metrics.jsonl');
    writeFileSync(path, `${text}\n${readFileSync(path, 'utf8')}`);
  };
}

function pipe(name: string): () => void {
  return () => {
    rmSync(join(hurt, name), { force: true });
    execFileSync('mkfifo', [join(hurt, name)]);
  };
}

const epoch = {
  type: 'epoch',
  phase: 'round-1',
  epoch: 1,
  step: 4,
  loss: 1,
  lr: 1,
  seconds: 1,
  trainAccuracy: 1,
  valLoss: 1,
  valAccuracy: 1,
  imagesPerSecond: 1,
};
const without = (names: string[]) => (value: Json) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

/** What is left out, and the reason that is given. */
const leftOut: [what: string, hurt: () => void, reason: RegExp][] = [
  [
    'a config.json that breaks off',
    () => {
      const path = join(hurt, 'config.json');
      truncateSync(path, statSync(path).size >> 1);
    },
    /config.json is damaged/,
  ],
  ['a config.json that is no object', change('config.json', () => [1]), /config.json is damaged/],
  [
    'a config.json without its keys',
    change('config.json', without(['args', 'seed'])),
    /args[^]*seed/,
  ],
  ['a config.json of wrong types', change('config.json', (c) => ({ ...c, args: 7 })), /args/],
  ['a config.json without machine', change('config.json', without(['machine'])), /machine/],
  ['versions that are none', change('config.json', (c) => ({ ...c, versions: 3 })), /versions/],
  ['settings that are text', change('config.json', (c) => ({ ...c, settings: 'x' })), /settings/],
  [
    'epochs that are text',
    change('config.json', (c) => ({ ...c, train: { epochs: 'x' } })),
    /train/,
  ],
  ['a named pipe as config.json', pipe('config.json'), /config.json is damaged/],
  ['a line of metrics.jsonl that is half written', line('{"type":"epo'), /line 1 of .* no JSON/],
  ['a line that is null', line('null'), /line 1 of .*metrics.jsonl is no line of a training/],
  ['a line without numbers', line('{"type":"step","phase":"a"}'), /is no line of a training/],
  [
    'an epoch without its accuracy',
    line(JSON.stringify(without(['valAccuracy'])(epoch))),
    /valAcc/,
  ],
  ['an epoch with text', line(JSON.stringify({ ...epoch, seconds: 'x' })), /line 1 of [^]*seconds/],
  [
    'an epoch with odd norms',
    line(JSON.stringify({ ...epoch, unitNorms: { norm: 'l2', kinds: { a: 1 } } })),
    /unitNorms/,
  ],
  ['a named pipe as metrics.jsonl', pipe('metrics.jsonl'), /metrics.jsonl: got a named pipe/],
  ['a pruning.json that is none', change('pruning.json', () => ({})), /no record of a pruning/],
  ['a named pipe as pruning.json', pipe('pruning.json'), /no record of a pruning: .*named pipe/],
  [
    'rounds without end',
    change('pruning.json', (r) => ({ ...r, plannedRounds: 1e15 })),
    /plannedRounds/,
  ],
  [
    'units without end',
    change('pruning.json', (r) => ({ ...r, kept: { 'blocks.0.ssm': '0-99999999999999' } })),
    /expected increasing units below 16777216/,
  ],
  [
    'units that repeat',
    change('pruning.json', (r) => ({ ...r, kept: { 'blocks.0.ssm': '0-9,0-9' } })),
    /expected increasing units/,
  ],
  [
    'widths without end',
    change('pruning.json', (r) => ({ ...r, denseWidths: { a: 1e12 } })),
    /denseWidths/,
  ],
  [
    'many large widths',
    change('pruning.json', (r) => ({ ...r, denseWidths: { a: 2 ** 24, b: 2 ** 24 } })),
    /33554432 units in all groups/,
  ],
  [
    'scores that are none',
    change('importance/round-1.json', () => ({})),
    /holds no scores of units/,
  ],
  [
    'scores of units without end',
    change('importance/round-1.json', (s) => ({
      ...s,
      groups: { a: { kind: 'ssm', units: '0-9999999999', min: 0, max: 1, scores: '' } },
    })),
    /expected increasing units/,
  ],
];

describe('one damaged run', () => {
  it.each(leftOut)('with %s is named, and the others are shown', (_, damage, reason) => {
    damage();
    const report = collect(findRuns([runs]));
    expect(report.runs.map(({ id }) => id)).toEqual(['whole']);
    expect(report.notes).toHaveLength(1);
    expect(report.notes[0]).toContain(`${hurt} was left out: `);
    expect(report.notes[0]).toMatch(reason);
    const watcher = new Watcher(runs);
    expect(watcher.report().runs.map(({ id }) => id)).toEqual(['whole']);
    expect(watcher.report().notes.join('\n')).toMatch(reason);
    // It is damaged while somebody looks.
    watcher.refresh();
    expect(watcher.report().notes.join('\n')).toMatch(reason);
  });

  it('beside others on the command line is named too', () => {
    writeFileSync(join(hurt, 'config.json'), '{');
    const { notes, runs: shown } = collect(findRuns([hurt, join(runs, 'whole')]));
    expect(shown).toHaveLength(1);
    expect(notes[0]).toContain(`${hurt} was left out`);
    expect(() => findRuns([hurt])).toThrow(/holds no run/);
  });

  const models: [what: string, damage: (path: string) => void, reason: RegExp][] = [
    [
      'is cut',
      (path) => {
        truncateSync(path, statSync(path).size - 9);
      },
      /truncated/,
    ],
    [
      'is empty',
      (path) => {
        truncateSync(path, 0);
      },
      /got an empty file/,
    ],
    [
      'is another file',
      (path) => {
        writeFileSync(path, 'nothing of the kind');
      },
      /got a text beginning with "nothing of the kind"/,
    ],
    [
      'says more than it has',
      (path) => {
        const { tensors, metadata } = loadSafetensors(path);
        const text = (metadata['mamba_prune'] ?? '').replace('"dState":3', '"dState":300000');
        saveSafetensors(path, tensors, { mamba_prune: text });
      },
      /A_log is/,
    ],
    [
      'is a named pipe',
      (path) => {
        rmSync(path);
        execFileSync('mkfifo', [path]);
      },
      /named pipe/,
    ],
  ];
  it.each(models)('whose model %s is shown without it', async (_, damage, reason) => {
    const path = join(hurt, 'model.safetensors');
    damage(path);
    const report = collect(findRuns([runs]));
    expect(report.runs.map(({ id, size }) => [id, size?.bytes === null])).toEqual([
      ['hurt', true],
      ['whole', false],
    ]);
    expect(report.notes).toHaveLength(1);
    expect(report.notes[0]).toContain(path);
    expect(report.notes[0]).toMatch(reason);
    expect(new Watcher(runs).report().notes).toEqual(report.notes);
    const out = join(folder, 'report.html');
    const options = { paths: [runs], out, images: 8, device: 'cpu', benchBatches: [1] };
    const written = await writeReport({ ...options, withModels: true });
    expect(written.notes).toEqual(report.notes);
    expect(written.runs).toEqual(['hurt', 'whole']);
  });

  it('whose weights are no numbers is shown, but not measured', async () => {
    const path = join(hurt, 'model.safetensors');
    const { tensors } = loadSafetensors(path);
    const file = SafetensorsFile.open(path);
    const { metadata } = file;
    file.close();
    tensors.get('head.bias')?.fill_(NaN);
    saveSafetensors(path, tensors, metadata);
    const out = join(folder, 'report.html');
    const options = { paths: [runs], out, images: 8, device: 'cpu', benchBatches: [1] };
    const { notes, runs: shown } = await writeReport({ ...options, withModels: true });
    expect(shown).toEqual(['hurt', 'whole']);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^A model was left out: .*hurt.*head\.bias \(2 of 2 values\)/);
  });

  it('alone is an error', () => {
    rmSync(join(runs, 'whole'), { recursive: true });
    line('nonsense')();
    expect(() => collect(findRuns([runs]))).toThrow(/line 1 of .*metrics\.jsonl is no JSON/);
  });

  it('does not make a model that its config.json only claims', () => {
    const path = join(runs, 'whole', 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { model: Json };
    writeFileSync(
      path,
      JSON.stringify({ ...config, model: { ...config.model, numClasses: 2 ** 40 } }),
    );
    const { runs: shown } = collect(findRuns([join(runs, 'whole')]));
    expect(shown.map(({ size }) => size)).toEqual([undefined]);
  });
});
