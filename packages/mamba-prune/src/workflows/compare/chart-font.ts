import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../files/folder.js';
import { defaultCacheDir } from '../../data/cache.js';

/** The font of the picture; viewers of the SVG that lack it take the next one. */
export const chartFont =
  "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

/**
 * Lets sharp find Inter, which comes from npm: bare machines have no font at all, and would draw boxes
 * in place of letters. sharp asks fontconfig, which reads this variable once, when it first draws text.
 */
export function provideChartFont(): void {
  if ((process.env['FONTCONFIG_FILE'] ?? '') !== '') return;
  const name = '@expo-google-fonts/inter/package.json';
  const fonts = dirname(createRequire(import.meta.url).resolve(name));
  const folder = join(defaultCacheDir(), 'fonts');
  const file = join(folder, 'fonts.conf');
  const lines = [
    '<?xml version="1.0"?>',
    '<!DOCTYPE fontconfig SYSTEM "fonts.dtd">',
    '<fontconfig>',
    '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>',
    ...['400Regular', '600SemiBold'].map((style) => `<dir>${join(fonts, style)}</dir>`),
    `<cachedir>${folder}</cachedir>`,
    '</fontconfig>',
  ];
  try {
    makeFolder(folder);
    writeFileSync(file, `${lines.join('\n')}\n`);
  } catch {
    return; // The system's fonts will do.
  }
  process.env['FONTCONFIG_FILE'] = file;
}
