// The scripts that write a file take the name of an earlier one of theirs, never that of another file.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create } from 'tar';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mp-overwrite-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function node(script: string, ...args: readonly string[]) {
  return spawnSync(process.execPath, [join(root, 'scripts', script), ...args], {
    cwd: root,
    encoding: 'utf8',
  });
}

describe('report-picture', () => {
  it('does not replace what is no picture', () => {
    const model = join(folder, 'model.safetensors');
    writeFileSync(model, 'weights');
    const { status, stderr } = node('report-picture.mjs', model, 'dense', folder);
    expect([status, stderr]).toEqual([
      2,
      `report-picture: ${model} exists and is no PNG, expected a new file or an earlier picture. ` +
        'Give another name.\n',
    ]);
    expect(readFileSync(model, 'utf8')).toBe('weights');
  });

  it('goes on to the runs where the file is a picture', () => {
    const picture = join(folder, 'report.png');
    writeFileSync(picture, Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
    const { stderr } = node('report-picture.mjs', picture, 'dense', folder);
    expect(stderr).toContain(`${folder} holds no run`);
  });
});

describe('terminal-picture', () => {
  it.each(['a model', 'a folder'])('does not replace %s', (what) => {
    const out = join(folder, `${what}.png`);
    if (what === 'a folder') mkdirSync(out);
    else writeFileSync(out, 'weights');
    const { status, stderr } = node('terminal-picture.mjs', out, 'echo');
    expect([status, stderr]).toEqual([
      2,
      `terminal-picture: ${out} exists and is no PNG, expected a new file or an earlier picture. Give another name.\n`,
    ]);
  });
});

describe('gpu-pack', () => {
  const beyond = 'nowhere-at-all';

  it('does not replace an archive that is no pack', async () => {
    const archive = join(folder, 'cifar-10-binary.tar.gz');
    writeFileSync(join(folder, 'data_batch_1.bin'), 'records');
    await create({ gzip: true, file: archive, cwd: folder }, ['data_batch_1.bin']);
    const before = readFileSync(archive);
    const { status, stderr } = node('gpu-pack.mjs', archive, beyond);
    expect(status).toBe(2);
    expect(stderr).toContain(`${archive} exists and is no pack, expected a new file`);
    expect(readFileSync(archive).equals(before)).toBe(true);
  });

  it('takes the name of an earlier pack', () => {
    const pack = join(folder, 'pack.tar.gz');
    const inside = join(folder, 'inside');
    mkdirSync(join(inside, 'bin'), { recursive: true });
    for (const name of ['gpu-run.sh', 'bin/node.xz']) writeFileSync(join(inside, name), '');
    spawnSync('tar', ['-czf', pack, '-C', inside, '.']);
    // Far enough to find the next mistake.
    expect(node('gpu-pack.mjs', pack, beyond).stderr).toContain(`${beyond} does not exist`);
  });
});
