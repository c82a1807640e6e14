#!/usr/bin/env node
// mamba-prune-libtorch build|info: builds the addon ahead of its first use, and tells what it is built against and what
// it found on this machine.
import { existsSync } from 'node:fs';
import { findLibtorch } from './find-libtorch.mjs';

const [command, ...rest] = process.argv.slice(2);
const unknown = command === 'info' ? rest.find((word) => word !== '--json') : undefined;

/** In a clone the TypeScript may not be compiled yet. */
const compiled = new URL('../dist/info.js', import.meta.url);

async function info() {
  const found = findLibtorch();
  const { version, cuda, source, includes, lib } = found;
  const { addonInfo, addonLines } = existsSync(compiled) ? await import(compiled.href) : {};
  const addon = addonInfo?.();
  if (rest.includes('--json')) {
    const libtorch = { version, cuda: Boolean(cuda), source, includes, lib };
    console.log(JSON.stringify({ libtorch, addon: addon ?? null }, null, 2));
    return;
  }
  console.log(`libtorch ${version}${cuda ? ' with CUDA' : ''}: ${source}`);
  console.log(`headers  ${includes.join(' ')}\nlibrary  ${lib}`);
  for (const line of addonLines?.(addon) ?? []) console.log(line);
}

if (command === 'build') {
  await import('./build-addon.mjs');
} else if (command === 'info' && unknown === undefined) {
  try {
    await info();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
} else {
  if (unknown !== undefined)
    console.error(`mamba-prune-libtorch info: got '${unknown}', expected --json or nothing.\n`);
  const help = command === '--help' || command === 'help';
  (help
    ? console.log
    : console.error)(`mamba-prune-libtorch build [--force] [--verbose]   builds the addon against the libtorch found
mamba-prune-libtorch info [--json]                 tells which libtorch that is, and what the addon computes and decodes with`);
  process.exit(help ? 0 : 2);
}
