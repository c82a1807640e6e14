// The example of a new architecture in an empty project: it is compiled against the declarations of the tarballs and run,
// and every command of the program is tried once with its module, in a process that knows the family from nowhere else.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './tarballs.mjs';

/**
 * @param {object} given
 * @param {string} given.project folder that the packages are installed in
 * @param {object} given.compilerOptions of the project
 * @param {(options: {status?: number, env?: object}, ...words: string[]) => {stdout: string, stderr: string}} given.run
 *   runs a command there; one that ends with another status ends the check
 * @returns {Promise<string[]>} what is wrong
 */
export async function checkNewArchitecture({ project, compilerOptions, run }) {
  const problems = [];
  const node = process.execPath;
  const main = join(project, 'node_modules', 'mamba-prune', 'dist', 'cli', 'main.js');
  const plugin = '--plugin mixer/dist/index.js';
  const usual = `${plugin} --threads 1 --device cpu`;

  /** A command line of the program; what it prints has to match. */
  function command(line, expected = [], { status = 0, env = {}, hook = [] } = {}) {
    const printed = run({ status, env }, node, ...hook, main, ...line.split(' '));
    // Notes are broken into lines.
    const text = (printed.stdout + printed.stderr).replaceAll(/\s+/g, ' ');
    for (const part of expected) {
      if (!text.includes(part))
        problems.push(`mamba-prune ${line}: expected '${part}' in:\n${text}`);
    }
    return printed;
  }

  /** Interrupts a command once it has printed `pattern`, and goes on by the command that it prints. */
  function interrupted(line, pattern) {
    const hook = ['--import', join(root, 'test', 'support', 'signal-self.mjs')];
    const env = { SIGNAL_WHEN: JSON.stringify({ pattern, signal: 'SIGINT' }) };
    const { stderr } = command(line, ['Go on with:'], { status: 130, env, hook });
    const [, resume = ''] = /Go on with: {2}npx mamba-prune (.+)/.exec(stderr) ?? [];
    if (!resume.includes(plugin)) problems.push(`${line}: got '${resume}', expected ${plugin}`);
    return command(resume);
  }

  const modelOf = (folder) => readFileSync(join(project, folder, 'model.safetensors'));
  const expectSame = (one, other) => {
    if (!modelOf(one).equals(modelOf(other)))
      problems.push(`${one}: the model is not that of ${other}`);
  };

  cpSync(join(root, 'examples', 'new-architecture', 'src'), join(project, 'mixer', 'src'), {
    recursive: true,
    filter: (path) => !path.endsWith('.test.ts'),
  });
  const options = { ...compilerOptions, rootDir: 'src', outDir: 'dist' };
  writeFileSync(
    join(project, 'mixer', 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, include: ['src'] }),
  );
  run({}, node, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'mixer');
  run({}, node, join('mixer', 'dist', 'main.js'), 'runs');

  // A fresh process: what the files were written with has to be named.
  const family = `--plugin ${join(project, 'mixer', 'dist', 'family.js')}`;
  const unknown = ["got family 'mixer', which is not registered", family];
  for (const line of ['inspect', 'eval', 'bench', 'export', 'predict']) {
    const rest = { export: ' --out no.onnx', predict: ' picture.png' }[line] ?? '';
    command(`${line} runs/refill${rest}`, unknown, { status: 2 });
  }
  command('prune runs/mixer --rate 0.5 --out runs/no', unknown, { status: 2 });
  command('train --resume --out runs/mixer', unknown, { status: 2 });
  command('report runs --out no.html', unknown);

  command(`train --help ${plugin}`, ['mixer_nano', 'MLP-Mixer: side of a patch', 'stripes']);
  command(`prune --help ${plugin}`, ['--mix-rate <x>', 'of the mixing neurons']);
  command(`quickstart --help ${plugin}`, ['Usage: mamba-prune quickstart']);
  command(`data list ${plugin}`, ['stripes']);
  command(`data verify stripes ${plugin}`);

  const train = `train ${usual} --arch mixer_nano --dataset stripes --d-model 16 --epochs 4 --lr 3e-3 --batch-size 32`;
  command(`${train} --out runs/whole`, ['test accuracy']);
  interrupted(`${train} --out runs/parts`, ' 2/4 ');
  expectSame('runs/parts', 'runs/whole');
  command(`${train} --workers 2 --out runs/workers`);

  const prune = `prune runs/whole ${usual} --batch-size 32`;
  const cut = command(`${prune} --rate 0.5 --out runs/oneshot`, ['mlps.3']);
  // It ends with the command that trains what is left.
  const [, next = ''] = /mamba-prune (train --from[^]+)/.exec(cut.stdout) ?? [];
  command(next.replaceAll(/\s*\\\n\s*/g, ' ').trim(), ['test accuracy']);
  const rounds = `${prune} --mix-rate 0.4 --mlp-rate 0.6 --method refill --fillback 0.2 --rounds 2 --epochs 2`;
  command(`${rounds} --out runs/rounds`);
  interrupted(`${rounds} --out runs/rounds-parts`, ' 1/2 ');
  expectSame('runs/rounds-parts', 'runs/rounds');
  command(`${prune} --target mix --method rsst --reg-epochs 2 --epochs 1 --out runs/driven`);

  const { groups, parameters } = JSON.parse(
    command(`inspect runs/oneshot ${plugin} --json`).stdout,
  );
  const before = JSON.parse(command(`inspect runs/whole ${plugin} --json`).stdout).parameters;
  const kinds = new Set(groups.map(({ kind }) => kind));
  if (!(parameters < before) || kinds.size !== 2) {
    problems.push(
      `inspect: got ${parameters} parameters of ${before}, and the kinds ${[...kinds]}`,
    );
  }

  command(`eval runs/oneshot ${usual}`, ['accuracy']);
  const sharp = createRequire(main)('sharp');
  const background = { r: 90, g: 90, b: 90 };
  await sharp({ create: { width: 12, height: 12, channels: 3, background } }).toFile(
    join(project, 'picture.png'),
  );
  command(`predict runs/oneshot picture.png ${usual}`, ['aslant']);
  command(`bench runs/whole runs/oneshot ${usual} --batch 4 --runs 2`, ['oneshot']);
  command(`export runs/oneshot ${usual} --out cut.onnx`, ['checked']);
  command(`export runs/oneshot ${usual} --out small.onnx --quantize int8-dynamic`, ['checked']);
  // The graph is all that such a file needs.
  command('predict cut.onnx picture.png', ['aslant']);
  command(`export runs/oneshot ${usual} --out cut.safetensors`);
  command(`eval cut.safetensors ${usual} --dataset stripes`, ['accuracy']);
  command(
    `compare ${usual} --arch mixer_nano --dataset stripes --epochs 1 --finetune-epochs 2 --seeds 1 --rate 0.5 --jobs 2 --out runs/compared`,
    ['RSST - Refill'],
  );
  command(`report runs ${usual} --with-models --images 3 --out report.html`, ['report.html']);
  command(`studio runs ${plugin} --port 0`, ['127.0.0.1'], {
    hook: ['--import', join(root, 'test', 'support', 'signal-self.mjs')],
    env: { SIGNAL_WHEN: JSON.stringify({ pattern: 'Ctrl-C ends it', signal: 'SIGINT' }) },
  });
  return problems;
}
