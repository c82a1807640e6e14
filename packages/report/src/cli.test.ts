// The two commands, in this process, as users type them.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../mamba-prune/src/cli/testing/run-cli.js';
import type { ReportPackage } from '../../mamba-prune/src/report-package.js';
import * as report from './index.js';
import { buildPage } from './testing/build-page.js';
import { type SmallRuns, makeSmallRuns } from './testing/small-runs.js';

let small: SmallRuns;
beforeAll(async () => {
  buildPage();
  small = await makeSmallRuns();
});
afterAll(() => {
  small.remove();
});

const textOf = (path: string): string => readFileSync(path, 'utf8');

describe('mamba-prune report', () => {
  it('finds in the package what it asks for', () => {
    expect({ ...report } satisfies ReportPackage).toHaveProperty('writeReport');
  });

  it('writes beside the runs, and says what it wrote as JSON', async () => {
    const { status, stdout } = await runCli(['report', small.runs, '--images', '4', '--json']);
    expect(status).toBe(0);
    const path = join(small.runs, 'report.html');
    expect(JSON.parse(stdout)).toMatchObject({
      path,
      bytes: statSync(path).size,
      runs: ['dense', 'oneshot', 'refill', 'rsst'],
      comparisons: [],
      notes: [],
    });
  });

  it('writes into the folder of a single run', async () => {
    const dense = join(small.runs, 'dense');
    const { status, stdout } = await runCli(['report', dense, '--images', '0']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/dense\/report\/report\.html {2}[\d.]+ KiB, 1 run\n$/);
    expect(existsSync(join(dense, 'report', 'report.html'))).toBe(true);
  });

  it('refuses a data set where no images are shown', async () => {
    const none = ['report', small.runs, '--images', '0'];
    for (const [flag, value] of [
      ['--data', small.folder],
      ['--dataset', 'mnist'],
    ] as const) {
      const { status, stderr } = await runCli([...none, flag, value]);
      expect(stderr).toContain(`got ${flag} with --images 0, which shows no images`);
      expect(status).toBe(2);
    }
  });

  it('goes without images that are not at hand, unless they were asked for', async () => {
    const copy = join(small.folder, 'moved');
    cpSync(small.runs, copy, { recursive: true });
    for (const name of ['dense', 'oneshot', 'refill', 'rsst']) {
      const path = join(copy, name, 'config.json');
      writeFileSync(path, textOf(path).replaceAll(small.images, '/nonexistent/images'));
    }
    const out = join(small.folder, 'moved.html');
    const quiet = await runCli(['report', copy, '--out', out]);
    expect(quiet.status).toBe(0);
    expect(quiet.stderr).toContain('Images were left out');
    expect(textOf(out)).toContain('Images were left out');
    const asked = await runCli(['report', copy, '--out', out, '--data', '/nonexistent/other']);
    expect(asked.status).toBe(1);
    expect(asked.stderr).toContain('/nonexistent/other');
    const found = await runCli(['report', copy, '--out', out, '--data', small.images]);
    expect(found.stderr).not.toContain('left out');
  });

  it('cannot be broken by the names in it', async () => {
    const evil = join(small.folder, 'evil', '<script>alert(1)<', 'script> <!-- x');
    cpSync(join(small.runs, 'dense'), evil, { recursive: true });
    const out = join(small.folder, 'evil.html');
    await runCli(['report', join(small.folder, 'evil'), '--out', out, '--images', '0']);
    const html = textOf(out);
    expect(html).not.toContain('<script>alert');
    expect(html.match(/<script/g)).toHaveLength(2); // the data and the page's own
    const json = /id="data">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
    expect((JSON.parse(json) as report.ReportData).runs[0]?.path).toBe(evil);
  });

  it('ends with 2 where no file can be written, before anything is measured', async () => {
    const folder = await runCli(['report', small.runs, '--out', small.images, '--bench']);
    expect(folder.status).toBe(2);
    expect(folder.stderr).toContain(`${small.images} is a folder, expected a file`);
    const file = join(small.runs, 'dense', 'config.json');
    const below = await runCli(['report', small.runs, '--out', join(file, 'r.html'), '--bench']);
    expect(below.status).toBe(2);
    expect(below.stderr).toContain(`nothing can be written in ${file} (it is no folder)`);
    const named = (out: string) => runCli(['report', small.runs, '--images', '0', '--out', out]);
    const pdf = join(small.folder, 'r.pdf');
    const other = await named(pdf);
    expect(other.status).toBe(2);
    expect(other.stderr).toContain(
      `--out: ${pdf} ends in .pdf, expected .html, which is what is written. Give such a name, such as ${join(small.folder, 'r.html')}.`,
    );
    expect((await named(join(small.folder, 'r'))).stderr).toContain('ends without a format');
    expect((await named(join(small.folder, 'r.HTM'))).status).toBe(0);
  });

  it('replaces an earlier report, and nothing else', async () => {
    const command = (out: string) => runCli(['report', small.runs, '--images', '0', '--out', out]);
    const page = join(small.folder, 'again.html');
    expect((await command(page)).status).toBe(0);
    const tag = '<meta name="generator" content="mamba-prune report">\n';
    expect(textOf(page)).toContain(tag);
    expect((await command(page)).status).toBe(0);
    // As pages were before they had the tag.
    writeFileSync(page, textOf(page).replace(tag, ''));
    expect((await command(page)).status).toBe(0);
    expect(textOf(page)).toContain(tag);

    const notes = join(small.folder, 'notes.html');
    writeFileSync(notes, '<!doctype html>\n<title>mamba-prune</title>\n<p>My notes.</p>\n');
    const empty = join(small.folder, 'empty.html');
    writeFileSync(empty, '');
    const tagged = join(small.folder, 'tagged.txt');
    writeFileSync(tagged, `# ${tag}${textOf(page)}`);
    const pipe = join(small.folder, 'pipe.html');
    execFileSync('mkfifo', [pipe]);
    const link = join(small.folder, 'link.html');
    symlinkSync(notes, link);
    const run = join(small.runs, 'dense');
    for (const path of [
      notes,
      empty,
      tagged,
      link,
      ...['model.safetensors', 'metrics.jsonl', 'config.json'].map((name) => join(run, name)),
    ]) {
      const before = readFileSync(path);
      const { status, stderr } = await command(path);
      expect([status, stderr]).toEqual([
        2,
        expect.stringContaining(
          `--out: ${path} exists and is no report, expected a new file or an earlier report. Give another name.`,
        ),
      ]);
      expect(readFileSync(path).equals(before)).toBe(true);
    }
    const toPipe = await command(pipe);
    expect(toPipe.status).toBe(2);
    expect(toPipe.stderr).toContain(`${pipe} exists and is no report`);
  });

  it('ends with 2 where there is no run', async () => {
    const { status, stderr } = await runCli(['report', small.images]);
    expect(status).toBe(2);
    expect(stderr).toContain('holds no run, expected the folder of a run, or one above it');
  });
});

describe('mamba-prune studio', () => {
  it('ends with 2 where there is no folder', async () => {
    const { status, stderr } = await runCli(['studio', join(small.runs, 'nowhere')]);
    expect(status).toBe(2);
    expect(stderr).toContain('is no folder, expected one that holds runs');
  });

  it('takes the data set and its folder, as report does', async () => {
    const studio = (...flags: string[]) =>
      runCli(['studio', small.runs, '--port', '0', ...flags], {
        onStdout: () => process.emit('SIGINT'),
      });
    const nowhere = join(small.folder, 'nowhere');
    const { status, stderr } = await studio('--data', nowhere);
    expect(status).toBe(2);
    expect(stderr).toContain(`--data: ${nowhere} is no folder`);
    expect((await studio('--dataset', 'nothing')).status).toBe(2);
    expect((await studio('--dataset', 'folder', '--data', small.images)).status).toBe(0);
  });

  it('serves until it is interrupted, and then ends in good order', async () => {
    const { status, stdout } = await runCli(['studio', small.runs, '--port', '0'], {
      // It listens when it says where.
      onStdout: () => process.emit('SIGINT'),
    });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/ {2}shows the runs below/);
  });
});
