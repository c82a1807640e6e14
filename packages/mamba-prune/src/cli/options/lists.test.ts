import { describe, expect, it } from 'vitest';
import { runCli } from '../testing/run-cli.js';
import { ratesOf } from './rates.js';

describe('a list', () => {
  it.each([
    [
      ['prune', 'x', '--target', 'all,ssm'],
      /'all' names several kinds .*Give all, or only .*\(ssm\)/,
    ],
    [['prune', 'x', '--target', 'ssm,both'], /'both' names several kinds .*\(ssm\)/],
    [['prune', 'x', '--target', 'both,all'], /'both' names several kinds .*Give both\./],
    [['prune', 'x', '--target', 'ssm,mlp,ssm'], /Got ssm twice/],
    [['prune', 'x', '--target', 'ssm,,mlp'], /A part is empty/],
    [['prune', 'x', '--target', 'ssm,'], /A part is empty/],
    [['prune', 'x', '--target='], /There is no kind/],
    [['compare', '--quick', '--target', 'all,ssm'], /'all' names several kinds/],
    [['compare', '--quick', '--target', 'mlp, mlp'], /Got mlp twice/],
    [['compare', '--quick', '--rate', '0.5,0.70,0.7'], /Got 0.7 twice/],
    [['compare', '--quick', '--rate', '0.5,'], /Expected shares above 0/],
    [['bench', 'x', '--batch', '1,64,1'], /Got 1 twice/],
    [['bench', 'x', '--batch', '1,,64'], /Expected integers/],
    [['report', 'x', '--bench', '8,8'], /Got 8 twice/],
    [['train', '--milestones', '3,3'], /Got 3 twice/],
    [['train', '--keep-epochs', '2,5,2'], /Got 2 twice/],
    [['train', '--keep-epochs', ','], /Expected integers/],
    [['imp', '--decreasing_lr', '91,91'], /Got 91 twice/],
    [['imp', '--decreasing_lr', '91,40'], /decreasing_lr.* Got 40 after 91, expected each/],
    [['train', '--milestones', '3,8,5'], /milestones.* Got 5 after 8, expected each/],
    [['imp', '--mamba_prune_target', 'ssm,mlp'], /Expected ssm, mlp or both/],
  ])('with a mistake in it is refused at once: %j', async (argv, message) => {
    const { status, stdout, stderr } = await runCli(argv);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });

  it('may have a number twice where it says how many of each', async () => {
    const { stderr } = await runCli(['train', '--arch', 'resnet20', '--blocks', '1,1,1']);
    expect(stderr).toContain('--out is missing');
  });
});

describe('ratesOf', () => {
  const kinds = ['ssm', 'mlp'].map((kind) => ({ kind, optional: false }));

  it('takes lists with blanks in any order, and refuses contradictions', () => {
    expect(ratesOf({ target: 'mlp, ssm', rate: 0.5 }, kinds)).toEqual({ ssm: 0.5, mlp: 0.5 });
    expect(() => ratesOf({ target: 'all,ssm' }, kinds)).toThrow(
      /--target: got 'all,ssm'. 'all' names several kinds already/,
    );
    expect(() => ratesOf({ target: 'ssm,ssm' }, kinds)).toThrow(/Got ssm twice/);
  });
});
