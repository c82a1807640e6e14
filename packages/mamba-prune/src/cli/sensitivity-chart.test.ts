import { describe, expect, it } from 'vitest';
import type { SensitivityFile } from '../workflows/sensitivity/file.js';
import { printSensitivity } from './sensitivity-chart.js';
import { visible } from './terminal/text.js';
import { fakeContext } from './testing/fake-context.js';

const whole = { loss: 0.3, accuracy: 0.9, parameters: 12_345_678, macs: 858_195_840 };
const rates = [0.1, 0.25, 0.3, 0.5, 0.625, 0.7, 0.8, 0.9];

/** Groups under long names, which lose more the deeper they lie and the more of them goes. */
function fileOf(names: readonly string[], changes: Partial<SensitivityFile> = {}): SensitivityFile {
  return {
    kind: 'mamba-prune sensitivity',
    format: 1,
    model: {
      path: `/data/experiments/2026-11-23/${'very-long-name-of-a-run-'.repeat(4)}/model.safetensors`,
      sha256: '',
      bytes: 1,
      arch: 'mamba_small',
    },
    images: { dataset: 'tiny-imagenet', split: 'train', count: 2000 },
    importance: 'taylor',
    score: 'consumer',
    scoreBatches: 8,
    seed: 0,
    precision: 'fp32',
    by: 'group',
    kinds: ['ssm'],
    rates,
    roundTo: 1,
    finished: true,
    dense: whole,
    parts: names.map((name, i) => ({
      name,
      kinds: ['ssm'],
      groups: { [name]: 1536 },
      points: rates.map((rate) => ({
        ...whole,
        rate,
        kept: Math.round(1536 * (1 - rate)),
        loss: whole.loss + rate * i,
        accuracy: whole.accuracy - rate * 0.1 * i,
      })),
    })),
    ...changes,
  };
}

const short = ['blocks.0.ssm', 'blocks.1.ssm', 'blocks.2.ssm'];

function printed(file: SensitivityFile, columns = 80): string {
  const { context, stdout } = fakeContext({ columns });
  printSensitivity(context, file);
  return stdout();
}

describe('a measurement in the terminal', () => {
  it('has a line for each part, with what it loses and a bar for each rate', () => {
    const text = printed(fileOf(short, { rates: rates.slice(0, 4) }));
    const line = (name: string) => text.split('\n').find((each) => each.includes(name)) ?? '';
    expect(line('blocks.0.ssm')).toMatch(/1,536 +0\.0 +0\.0 +0\.0 +0\.0 +▁▁▁▁$/);
    expect(line('blocks.2.ssm')).toMatch(/1,536 +-2\.0 +-5\.0 +-6\.0 +-10\.0 +▂▃▃▅$/);
    expect(text).toMatch(/most sensitive {3}blocks\.2\.ssm\n/);
    expect(text).toMatch(/least sensitive {2}blocks\.0\.ssm\n/);
  });

  it('says nothing of bars where nothing was measured yet', () => {
    const file = fileOf(short);
    const text = printed({ ...file, parts: file.parts.map((part) => ({ ...part, points: [] })) });
    expect(text).toContain('loses that share');
    expect(text).not.toContain('Bars');
  });

  it('says what is won, and leaves out what is not measured', () => {
    const file = fileOf(['a'], { rates: [0.5, 0.9] });
    const [part] = file.parts;
    const point = { ...whole, rate: 0.5, kept: 768, accuracy: 0.904, loss: 0.29 };
    const text = printed({
      ...file,
      finished: false,
      parts: part ? [{ ...part, points: [point] }] : [],
    });
    expect(text).toMatch(/^ {2}a +1,536 +\+0\.4 +▁$/m);
  });

  it.each([80, 50])('fits %i columns with long names and many rates', (columns) => {
    const names = Array.from(
      { length: 6 },
      (_, i) => `encoder.${'stage.'.repeat(8)}block${i}.conv1`,
    );
    const found = { ...whole, rates: Object.fromEntries(names.map((name) => [name, 0.7])) };
    const text = printed(
      fileOf(names, {
        search: {
          method: 'evolutionary',
          budget: { metric: 'parameters', most: 3_703_703 },
          maxRate: 0.9,
          finished: false,
          best: { name: 'evolutionary', ...found },
          candidates: [
            { name: 'uniform', ...found },
            { name: 'global ranking', ...found },
            { name: 'sensitivity', ...found },
          ],
          evaluations: [],
        },
      }),
      columns,
    );
    const lines = text.split('\n');
    expect(lines.filter((line) => visible(line) > columns)).toEqual([]);
    for (const name of names.map((each) => each.slice(-10))) expect(text).toContain(name);
    expect(text).toContain('evolutionary');
    expect(text.replaceAll(/\s+/g, ' ')).toContain('and is not at its end');
  });
});
