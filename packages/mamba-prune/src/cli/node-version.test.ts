import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { nodeProblem, nodeVersions } from './node-version.js';

describe('the version of Node.js', () => {
  it.each(['20.15.0', '20.19.5', '22.2.0', '22.22.1', '23.0.0', '24.1.0', '26.3.0'])(
    '%s will do',
    (version) => {
      expect(nodeProblem(version)).toBeUndefined();
    },
  );

  it.each(['16.20.2', '18.20.4', '20.14.0', '21.7.3', '22.1.0'])('%s will not', (version) => {
    expect(nodeProblem(version)).toContain(`this is Node.js ${version}, expected Node.js 20.15 `);
  });

  it('is the one that the package asks for', () => {
    const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({ engines: { node: nodeVersions } });
  });

  it('is checked before another file is read, which an old one could not', () => {
    const built = transpiledMambaPrune();
    const folder = mkdtempSync(join(tmpdir(), 'mp-node-'));
    try {
      // Alone in a folder: an import of anything else would fail.
      for (const file of ['main.js', 'node-version.js']) {
        copyFileSync(join(built.src, 'cli', file), join(folder, file));
      }
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
      const old = "Object.defineProperty(process, 'versions', { value: { node: '18.20.4' } })";
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        ['--import', `data:text/javascript,${old}`, join(folder, 'main.js'), '--version'],
        { encoding: 'utf8' },
      );
      expect(stderr).toBe(
        'mamba-prune: this is Node.js 18.20.4, expected Node.js 20.15 or a later 20, or 22.2 or later. Install one of ' +
          'these (https://nodejs.org/en/download, or your version manager), and give the command again.\n',
      );
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    } finally {
      rmSync(folder, { recursive: true });
      built.remove();
    }
  });
});
