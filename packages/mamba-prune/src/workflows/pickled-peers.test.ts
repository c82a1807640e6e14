// Whole models of the real timm, torchvision, transformers and Torch-Pruning (pickled-peers.py): read as they say of themselves.
// Another Python than the one on the path: PEERS_PYTHON=/path/to/python, such as `.ci/optional peers` makes.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  FormatError,
  type Tensor,
  loadSafetensors,
  noGrad,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import type { ImportOptions } from '../models/import/model.js';
import { relativeDifference } from '../models/testing/parity.js';
import { openModelFile } from './open-model-file.js';

setNumThreads(1);

const python = process.env['PEERS_PYTHON'] ?? 'python3';
const script = fileURLToPath(new URL('pickled-peers.py', import.meta.url));

function whyNot(): string | undefined {
  const modules = 'torch torchvision timm transformers torch_pruning safetensors';
  const look = `import sys, importlib.util as u
sys.exit(not all(u.find_spec(name) for name in '${modules}'.split()))`;
  try {
    execFileSync(python, ['-c', look], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${python} has not all of ${modules}`;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'pickled-peers-'));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const reason = whyNot();
// Before the tests are named: the script says which cases there are.
if (reason === undefined) {
  execFileSync(python, [script, folder], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function cases<T>(file: string): [name: string, value: T][] {
  if (reason !== undefined) return [];
  return Object.entries(JSON.parse(readFileSync(at(file), 'utf8')) as Record<string, T>);
}

/** What must be read of a file, and what must be said of it, or not. */
interface Read {
  readonly config: object;
  readonly info?: object;
  readonly notes?: string;
  readonly without?: string;
  /** For what no module tells. */
  readonly options?: ImportOptions;
}

describe.skipIf(reason !== undefined)(
  `whole pickled models of other programs${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    it.each(cases<Read>('cases.json'))(
      'give the logits of their program without being asked anything: %s',
      async (name, read) => {
        const { model, info, assumed, notes } = await openModelFile(at(`${name}.pt`), read.options);
        expect(model.config).toMatchObject(read.config);
        expect(info).toMatchObject(read.info ?? {});
        expect(notes.join(' ')).toContain(read.notes ?? '');
        if (read.without !== undefined) expect(notes.join(' ')).not.toContain(read.without);
        expect(assumed.join()).not.toMatch(/heads|eps/);
        const { tensors } = loadSafetensors(at(`${name}.expected`));
        const logits = noGrad(() => model.forward(tensors.get('input') as Tensor));
        // As in real-peers.test.ts: roundings of float32.
        expect(relativeDifference(logits, tensors.get('logits') as Tensor)).toBeLessThan(1e-5);
        model.dispose();
      },
    );

    it.each(cases<string>('refused.json'))(
      'are refused where they compute what no model here does: %s',
      async (name, why) => {
        const opened = openModelFile(at(`${name}.pt`));
        await expect(opened).rejects.toThrow(FormatError);
        await expect(opened).rejects.toThrow(why);
      },
    );
  },
);
