import { readFileSync } from 'node:fs';

/** The version of package.json, the one place where it stands. */
export function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return version;
}
