// Every flag of prune and train is one of compare, or compare says what there is in place of it.
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addCompareCommand } from '../commands/compare.js';
import { addPruneCommand } from '../commands/prune.js';
import { addTrainCommand } from '../commands/train.js';
import { fakeContext } from '../testing/fake-context.js';
import { runCli } from '../testing/run-cli.js';
import { compareLeftOut } from './compare-left-out.js';

const flagsOf = (...adds: readonly (typeof addCompareCommand)[]): Set<string> => {
  const program = new Command();
  const { io } = fakeContext().context;
  for (const add of adds) add(program, { io, argv: [], current: '', flags: [] });
  const all = program.commands.flatMap(({ options }) => options);
  return new Set(all.filter(({ hidden }) => !hidden).flatMap(({ long }) => long ?? []));
};

const own = flagsOf(addCompareCommand);

describe('flags of prune and train', () => {
  const others = [...flagsOf(addPruneCommand, addTrainCommand)].filter((flag) => !own.has(flag));

  it('are those of compare, or it says why not', () => {
    expect(others.sort()).toEqual(Object.keys(compareLeftOut()).sort());
  });

  it('are advised against with flags that compare has', () => {
    for (const [flag, advice] of Object.entries(compareLeftOut())) {
      const named = advice.replace(/mamba-prune .*/, '').match(/--[a-z-]+/g) ?? [];
      for (const other of named) expect(own, `${flag}: ${advice}`).toContain(other);
    }
  });
});

describe('an unknown flag of compare', () => {
  it('says what there is in place of it, to programs too', async () => {
    const { status, stdout, stderr } = await runCli([
      'compare',
      '--quick',
      '--rewind',
      'init',
      '--json',
    ]);
    expect(status).toBe(2);
    const said =
      "unknown option '--rewind': every method trains on from the weights that its cut leaves.";
    expect(stderr).toContain(said);
    expect(JSON.parse(stdout)).toEqual({ error: said, exitStatus: 2 });
  });
});
