// The file that a measurement is written to: checked before any work, and written point by point.
import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { UsageError } from '../../errors.js';
import { type Sensitivity, isComplete } from '../../pruning/sensitivity/measure.js';
import {
  type SearchRecord,
  type SensitivityFile,
  isSensitivity,
  writeSensitivity,
} from './file.js';
import type { Header } from './header.js';

/** @throws UsageError for a file that may not be replaced, or whose name does not end in .json */
export function checkOut(out: string, { overwrite }: { readonly overwrite: boolean }): void {
  checkIsFree(out, overwrite);
  checkIsJson(out);
}

/**
 * `prune --rates-from` and `report` take such files by their content, and people by their name.
 * @throws UsageError for another ending
 */
function checkIsJson(out: string): void {
  const ending = extname(out);
  if (ending.toLowerCase() === '.json') return;
  throw new UsageError(
    `sensitivity: \`out\`: ${out} ends ${ending === '' ? 'without a format' : `in ${ending}`}, expected .json, which is what is ` +
      `written. Give such a name, such as ${out.slice(0, out.length - ending.length)}.json.`,
  );
}

/** @throws UsageError if something is there that nobody asked to replace, or that is no measurement */
function checkIsFree(out: string, overwrite: boolean): void {
  if (!existsSync(out)) return;
  if (!isSensitivity(out)) {
    throw new UsageError(
      `sensitivity: ${out} exists and is no measurement, expected a new file or an earlier measurement. Give another name.`,
    );
  }
  if (overwrite) return;
  throw new UsageError(
    `sensitivity: ${out} exists, expected a new file. Go on with it (\`resume\`), replace it (\`overwrite\`), or give another name.`,
  );
}

/** Holds what has been measured so far, and writes it where a file was asked for. */
export class GrowingFile {
  readonly #header: Header;
  readonly #out: string | undefined;
  #content: SensitivityFile | undefined;

  /** @param earlier - of a measurement that is gone on with */
  constructor(header: Header, out: string | undefined, earlier: SensitivityFile | undefined) {
    this.#header = header;
    this.#out = out;
    this.#content = earlier;
  }

  /** Undefined before the first point. */
  get content(): SensitivityFile | undefined {
    return this.#content;
  }

  write(sensitivity: Sensitivity, search: SearchRecord | undefined): SensitivityFile {
    const { dense, parts } = sensitivity;
    const finished = isComplete(sensitivity);
    const measured = { ...this.#header, finished, dense, parts: [...parts] };
    const content = { ...measured, ...(search && { search }) };
    this.#content = content;
    if (this.#out !== undefined) writeSensitivity(this.#out, content);
    return content;
  }
}
