#!/usr/bin/env node
// mamba-prune-libtorch build|info: builds the addon ahead of its first use, and tells what it is built against.
import { findLibtorch } from './find-libtorch.mjs';

const command = process.argv[2];

if (command === 'build') {
  await import('./build-addon.mjs');
} else if (command === 'info') {
  try {
    const found = findLibtorch();
    console.log(`libtorch ${found.version}${found.cuda ? ' with CUDA' : ''}: ${found.source}`);
    console.log(`headers  ${found.includes.join(' ')}\nlibrary  ${found.lib}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
} else {
  const help = command === '--help' || command === 'help';
  (help
    ? console.log
    : console.error)(`mamba-prune-libtorch build [--force] [--verbose]   builds the addon against the libtorch found
mamba-prune-libtorch info                          tells which libtorch that is`);
  process.exit(help ? 0 : 2);
}
