#!/usr/bin/env node
import { run } from './program.js';
import { processIo } from './terminal/io.js';

// `mamba-prune inspect MODEL | head -1` closes our stdout early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), processIo());
