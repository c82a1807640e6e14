import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pruningOf } from '../../cli/options/pruning.js';
import { checkPruningFlags } from '../../cli/options/pruning-checks.js';
import { runCli } from '../../cli/testing/run-cli.js';
import { differences } from '../compare/changed-settings.js';
import { quickComparison } from '../compare/quick.js';
import { decideThrough, lrThroughDefault, throughInWords } from './lr-through.js';

const doomed = { units: 'doomed', strength: 5 } as const;
const on = { epochs: 3, byDefault: true } as const;

describe('one schedule through the cut by default', () => {
  it('is written down where it is taken', () => {
    expect(decideThrough(doomed, on)).toEqual({ ...doomed, lrThrough: true });
    expect(decideThrough(doomed, { ...on, byDefault: false })).toBe(doomed);
  });

  it.each([
    ['all units are regularised', { units: 'all' } as const, {}],
    ['nothing says which units are', {}, {}],
    ['nothing is trained after the cut', doomed, { epochs: 0 }],
    ['the kept units go back', doomed, { rewind: 'init' } as const],
  ])('is not taken where %s', (_what, rsst, changes) => {
    expect(decideThrough(rsst, { ...on, ...changes })).toBe(rsst);
  });

  it.each([
    [
      'docs/methods.md',
      'Without `--lr-through` each of the two has a schedule of its own.',
      'For doomed units that are trained after the cut, without a rewind, it is the default; `--no-lr-through` gives each of the two a schedule of its own.',
    ],
    [
      'docs/methods.zh-CN.md',
      '不加 `--lr-through` 时，两段训练各有自己的曲线。',
      '对将被移除的单元，若裁剪后还要训练且不回退权重，这是默认做法；`--no-lr-through` 让两段训练各有自己的曲线。',
    ],
  ])('is what %s says', (page, off, on) => {
    const path = new URL(`../../../../../${page}`, import.meta.url);
    const text = readFileSync(path, 'utf8').replace(/\s*\n/g, page.includes('zh') ? '' : ' ');
    expect(text.includes(off)).toBe(!lrThroughDefault);
    expect(text.includes(on)).toBe(lrThroughDefault);
  });

  it('is what help says', async () => {
    for (const command of ['prune', 'compare']) {
      const { stdout } = await runCli([command, '--help']);
      const help = stdout.replace(/\s+/g, ' ');
      expect(help).toContain(`(default: ${throughInWords()})`);
      expect(help).toContain('--no-lr-through');
    }
    expect(throughInWords(true)).not.toBe(throughInWords(false));
  });

  it('can be turned off by a flag, which only RSST has', async () => {
    const argv = ['prune', 'none.safetensors', '--out', 'none', '--no-lr-through'];
    expect((await runCli([...argv, '--method', 'rsst'])).stderr).toContain('none.safetensors');
    expect(pruningOf({ method: 'rsst', lrThrough: false }).rsst).toEqual({ lrThrough: false });
    expect(() => {
      const settings = pruningOf({ method: 'oneshot' });
      checkPruningFlags(
        { lrThrough: false },
        {
          ...settings,
          model: 'm',
          rates: {},
          recipe: { epochs: 1 },
        },
      );
    }).toThrow('got --no-lr-through, which belongs to --method rsst');
  });

  it('leaves a comparison the same that does not say it, whichever version began it', () => {
    const begun = { ...quickComparison, targets: ['ssm'], threads: 1, dense: undefined };
    const off = { ...begun, rsst: { ...begun.rsst, lrThrough: false } };
    expect(differences(begun, off)).toEqual([]);
    expect(differences(off, begun)).toEqual([]);
    const through = { ...begun, rsst: { ...begun.rsst, lrThrough: true } };
    expect(differences(begun, through)).toHaveLength(1);
  });

  it('is nothing to what is said, or to what a run began with', () => {
    const off = { ...doomed, lrThrough: false };
    expect(decideThrough(off, on)).toBe(off);
    expect(decideThrough(doomed, { ...on, begun: doomed })).toBe(doomed);
    const through = { ...doomed, lrThrough: true };
    expect(decideThrough(doomed, { ...on, begun: through })).toEqual(through);
    expect(decideThrough(off, { ...on, begun: through })).toBe(off);
  });
});
