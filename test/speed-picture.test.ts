// The picture of the speed beside PyTorch is what its script draws, with the ratios of the pages.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mp-speed-picture-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the picture of the speed', () => {
  execFileSync(process.execPath, [join(root, 'scripts/speed-picture.mjs'), folder]);

  it.each(['speed.svg', 'speed.zh-CN.svg'])('is committed as the script draws it: %s', (name) => {
    const committed = readFileSync(join(root, 'docs/images', name), 'utf8');
    expect(committed, `${name}: run node scripts/speed-picture.mjs`).toBe(
      readFileSync(join(folder, name), 'utf8'),
    );
  });

  it('has bars as long as the ratios that the README prints', () => {
    const svg = readFileSync(join(folder, 'speed.svg'), 'utf8');
    const bars = [
      ...svg.matchAll(/<rect x="390"[^>]* width="([\d.]+)"[^>]*\/><text[^>]*>([\d.]+)x</g),
    ];
    const printed = readFileSync(join(root, 'README.md'), 'utf8');
    expect(bars.length).toBe(14);
    const [, longest, most] = bars.find(([, , ratio]) => ratio === '18.5') ?? [];
    for (const [, length, ratio] of bars) {
      expect(printed).toContain(`${ratio}x`);
      // Lengths are written with one digit.
      expect(
        Math.abs(Number(length) / Number(longest) - Number(ratio) / Number(most)),
      ).toBeLessThan(2e-4);
    }
  });
});
