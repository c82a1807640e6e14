import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { visible } from './terminal/text.js';
import { runCli } from './testing/run-cli.js';

const commands = [
  ['quickstart'],
  ['train'],
  ['prune'],
  ['imp'],
  ['sensitivity'],
  ['eval'],
  ['predict'],
  ['inspect'],
  ['bench'],
  ['compare'],
  ['export'],
  ['push'],
  ['report'],
  ['studio'],
  ['models'],
  ['data', 'list'],
  ['data', 'get'],
  ['data', 'verify'],
];

describe('help', () => {
  it.each(commands)(
    'of %s %s has a description and an example, and fits 80 columns',
    async (...name) => {
      const words = name.filter((word) => typeof word === 'string');
      const { status, stdout, stderr } = await runCli([...words, '--help']);
      expect(status).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toMatch(new RegExp(`^Usage: mamba-prune ${words.join(' ')}`));
      expect(stdout).toContain('Examples:\n  # ');
      expect(stdout).toContain(`  npx mamba-prune ${words.join(' ')}`);
      expect(stdout).toContain('--json');
      expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
      expect(stdout.split('\n').filter((line) => line.endsWith('(default:'))).toEqual([]);
      expect(stdout).not.toMatch(/\p{Co}/u);
    },
  );

  it.each(['prune', 'compare', 'sensitivity'])(
    'of %s says which kinds both leaves out, and which it takes by default',
    async (name) => {
      const { stdout } = await runCli([name, '--help']);
      expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
        /--target <kinds> kinds of units to \w+: both \(all but state and dt_rank\), all, or a list such as ssm,mlp \(default: both\)/,
      );
    },
  );

  it('of data get names each place that data sets come from once', async () => {
    const { stdout } = await runCli(['data', 'get', '--help']);
    expect(stdout.match(/www\.cs\.toronto\.edu/g)).toHaveLength(1);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('cifar10 and cifar100 from www.');
  });

  it.each(commands)('of %s %s says of every option what it is', async (...name) => {
    const words = name.filter((word) => typeof word === 'string');
    const { stdout } = await runCli([...words, '--help']);
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)(?: [<[]\S*)? {2,}(.*)$/gm)];
    expect(options.length).toBeGreaterThan(2);
    // What begins with these is a fragment, which says nothing without the flag's name.
    const fragments = options.filter(([, flag = '', text = '']) => {
      if (flag.endsWith('-rate')) return false; // They stand below --rate, which says what they are.
      return /^(?:(?:of|in|from|within|which|most)\s|(?:how|norm|units|what):|\()/.test(text);
    });
    expect(fragments.map(([, flag, text]) => `${flag ?? ''} ${text ?? ''}`)).toEqual([]);
  });

  it('lists every command', async () => {
    const { stdout } = await runCli(['--help']);
    for (const [name] of commands) expect(stdout).toMatch(new RegExp(`^  ${name ?? ''} `, 'm'));
  });

  it('has colours on a terminal and none with NO_COLOR', async () => {
    const coloured = await runCli(['--help'], { tty: true });
    const plain = await runCli(['--help'], { tty: true, env: { NO_COLOR: '1' } });
    expect(coloured.stdout).toContain('\u001b[');
    expect(plain.stdout).not.toContain('\u001b[');
  });
});

describe('usage errors', () => {
  it.each([
    [['trian'], "unknown command 'trian'", 'train'],
    [['train', '--epoch', '3'], "unknown option '--epoch'", '--epochs'],
    [['train', '--arch', 'mamba-tiny'], "'mamba-tiny' is invalid", 'mamba_tiny'],
    [['train', '--dataset', 'cifar-10'], "'cifar-10' is invalid", 'cifar10'],
    [['train', '--dataset', 'fashon'], "'fashon' is invalid", 'fashion-mnist'],
    [['train', '--augment', 'stong'], "'stong' is invalid", 'strong'],
    [['prune', 'x', '--importance', 'L2'], "'L2' is invalid", 'l2'],
    [['data', 'get', 'cifar-100'], "got data set 'cifar-100'", 'cifar100'],
  ])('of %j ends with 2 and says what was meant', async (argv, message, meant) => {
    const { status, stdout, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(message);
    expect(stderr).toContain(`Did you mean ${meant}?`);
  });

  it.each([
    [
      ['train', '--lr', '0'],
      "option '--lr <rate>' argument '0' is invalid. Expected a number above 0",
    ],
    [['train', '--epochs', '1.5'], 'Expected an integer from 1 to 1000000'],
    [['prune', 'x', '--rate', '1'], 'Expected a number of at least 0 and below 1'],
    [['prune', 'x', '--method', 'lasso'], 'Expected oneshot, refill or rsst.'],
    [['prune', 'x', '--rewind', 'epoch:-1'], 'Expected none, source, init or epoch:E'],
    [['bench', 'x', '--batch', '1,a'], 'Expected integers from 1 to'],
    [['train', '--device', 'tpu'], 'Expected auto, cpu, cuda or cuda:N'],
    [['train', '--resume', 'first', '--out', 'x'], "Expected nothing or 'previous'"],
    [['train', '--dataset', 'fashion-mnist'], '--out is missing'],
    [['train', '--out', '/nonexistent/run'], '--dataset is missing'],
    [['prune', '--out', '/nonexistent/run'], "the argument 'MODEL|RUN' is missing"],
    [
      ['train', '--dataset', 'cifar10', '--out', '/nonexistent/run'],
      'got no folder, expected the one with cifar-10-batches-bin or cifar-10-batches-py. Give its path (--data).',
    ],
    [
      ['train', '--dataset', 'folder', '--out', '/nonexistent/run'],
      'got no folder, expected one with train/CLASS/IMAGE',
    ],
    [['inspect'], "missing required argument 'MODEL|RUN'"],
    [['report'], "missing required argument 'RUN"],
    [['report', 'x', '--images', '-1'], 'Expected an integer from 0 to'],
    [['report', 'x', '--bench', '1,0'], 'Expected integers from 1 to'],
    [['studio', 'x', '--port', '70000'], 'from 0 to 65535'],
    [['inspect', '/nonexistent/model'], '/nonexistent/model does not exist'],
    [['bench', '/nonexistent/model'], '/nonexistent/model does not exist'],
    [['predict', '/nonexistent/model', 'a.png'], '/nonexistent/model does not exist'],
  ])('of %j is found before any work', async (argv, message) => {
    const { status, stdout, stderr } = await runCli(argv);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^mamba-prune \w+: /);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });

  it('print help on stderr if there is no command', async () => {
    const { status, stdout, stderr } = await runCli([]);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('Usage: mamba-prune');
  });

  it('give one JSON object under --json', async () => {
    const { status, stdout } = await runCli(['train', '--epochs', 'x', '--json']);
    expect(status).toBe(2);
    const { error, exitStatus } = JSON.parse(stdout) as { error: string; exitStatus: number };
    expect(exitStatus).toBe(2);
    expect(error).toContain("option '--epochs <n>' argument 'x' is invalid");
  });

  it('say in it what stands on stderr, where the command is named before', async () => {
    const argv = ['compare', '--resume', '--out', 'nothing', '--json'];
    const { stdout, stderr } = await runCli(argv);
    const { error } = JSON.parse(stdout) as { error: string };
    expect(error).toMatch(/^nothing holds no comparison/);
    expect(stderr).toBe(`mamba-prune compare: ${error}\n`);
  });
});

describe('an error', () => {
  it('has its message within the width of a terminal, and in one line elsewhere', async () => {
    const argv = ['eval', `${'folder/'.repeat(20)}missing.safetensors`];
    const [shown, piped] = [await runCli(argv, { tty: true }), await runCli(argv)];
    expect(piped.stderr.trimEnd()).not.toContain('\n');
    const lines = shown.stderr.trimEnd().split('\n');
    // The path alone is longer than a line, and stays whole.
    expect(lines.filter((line) => visible(line) > 80)).toEqual([`  ${argv[1] ?? ''}`]);
    expect(lines.length).toBeGreaterThan(3);
  });
});

describe('data list', () => {
  it('names the data sets as a table and as JSON', async () => {
    const table = await runCli(['data', 'list']);
    expect(table.stdout).toMatch(/fashion-mnist +70,000 grey images/);
    const { stdout } = await runCli(['data', 'list', '--json']);
    const { datasets } = JSON.parse(stdout) as { datasets: { name: string }[] };
    expect(datasets.map(({ name }) => name)).toContain('cifar100');
  });
});

describe('an empty text', () => {
  it.each([
    [['train', '--arch', 'mamba_nano', '--out', ''], '--out', '--out <dir>'],
    [['sensitivity', 'runs/a', '--out', ''], '--out', '--out <file>'],
    [['compare', '--dense', ''], '--dense', '--dense <MODEL|RUN>'],
    [['report', 'runs/a', ''], 'RUN', 'report RUN'],
    [['studio', ''], 'DIR', 'studio DIR'],
    [['eval', ''], 'MODEL|RUN', 'eval MODEL|RUN'],
  ])('in %j is refused, and is no path', async (words, name, form) => {
    const { status, stderr } = await runCli(words);
    expect(stderr).toContain(`${name}: got an empty text, expected a value, as in \`${form}\`.`);
    expect(status).toBe(2);
  });
});

describe('a folder of something else as --out', () => {
  it('is a mistake in the arguments: the program ends with 2 and leaves it as it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-out-'));
    writeFileSync(join(folder, 'thesis.txt'), 'years of work');
    try {
      for (const words of [
        ['train', '--arch', 'mamba_nano', '--dataset', 'fashion-mnist', '--train-images', '10'],
        ['compare', '--quick'],
      ]) {
        const { status, stderr } = await runCli([...words, '--out', folder]);
        expect(stderr).toMatch(/is not empty \(thesis\.txt\).*expected a new or empty folder/);
        expect(status).toBe(2);
      }
      expect(readdirSync(folder)).toEqual(['thesis.txt']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
