#!/usr/bin/env node
// The program. What it needs is imported only when Node.js is found to be new enough to read it.
import { nodeProblem } from './node-version.js';

const problem = nodeProblem(process.versions.node);
if (problem === undefined) {
  await import('./start.js');
} else {
  process.stderr.write(`mamba-prune: ${problem}\n`);
  process.exitCode = 1;
}
