// The header of a safetensors file, read with a parser of its own instead of JSON.parse, because
//  - JSON.parse keeps the last of two equal keys silently, and this format forbids them;
//  - JSON.parse puts keys that look like integers first, so the order of the file would be lost;
//  - its memory use on hostile text (100 MB of `[`) has no bound that we set.
// It accepts exactly the grammar of the format:
//   { "__metadata__"?: {string: string, ...}, name: {"dtype": string, "shape": [n, ...], "data_offsets": [n, n]}, ... }
import { FormatError } from '../errors.js';
import { maxDimensions } from './dtype.js';

/** A tensor as the header declares it; nothing is checked against the file yet. */
export interface DeclaredTensor {
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  tensors: Map<string, DeclaredTensor>;
  metadata: Map<string, string>;
}

/** The key that holds free text about the file instead of a tensor. */
export const metadataKey = '__metadata__';

/** The reference implementation's limit, so that a hostile length cannot ask for all memory. */
export const maxHeaderBytes = 100_000_000;

const quote = 0x22;
const backslash = 0x5c;

/**
 * @param text - the header, decoded from UTF-8
 * @param where - start of every message, `readSafetensors "file"`
 * @throws FormatError with the position of what is not as the format says
 */
export function parseHeader(text: string, where: string): SafetensorsHeader {
  return new HeaderParser(text, where).parse();
}

/** What a message is about is a function: it is made of a name, and most headers have no fault. */
class HeaderParser {
  #at = 0;
  readonly #text: string;
  readonly #where: string;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  parse(): SafetensorsHeader {
    const tensors = new Map<string, DeclaredTensor>();
    let metadata: Map<string, string> | undefined;
    // The reference implementation refuses white space in front, so that files are easy to recognise.
    if (!this.#text.startsWith('{')) this.#fail(`got ${this.#found()}, expected "{"`);
    this.#object((key) => {
      if (key === metadataKey) {
        if (metadata !== undefined) this.#fail(`the key "${metadataKey}" appears twice`);
        metadata = this.#metadata();
      } else {
        if (tensors.has(key)) this.#fail(`tensor ${quoted(key)} appears twice`);
        tensors.set(key, this.#tensor(key));
      }
    });
    this.#space();
    if (this.#at < this.#text.length) {
      this.#fail(`got ${this.#found()} behind the closing "}", expected spaces only`);
    }
    return { tensors, metadata: metadata ?? new Map<string, string>() };
  }

  #metadata(): Map<string, string> {
    const entries = new Map<string, string>();
    this.#object((key) => {
      if (entries.has(key)) this.#fail(`metadata key ${quoted(key)} appears twice`);
      entries.set(
        key,
        this.#string(() => `metadata ${quoted(key)}`),
      );
    });
    return entries;
  }

  #tensor(name: string): DeclaredTensor {
    const seen = new Set<string>();
    const declared: DeclaredTensor = { dtype: '', shape: [], begin: 0, end: 0 };
    this.#object((key) => {
      if (seen.has(key)) this.#fail(`tensor ${quoted(name)} has the key ${quoted(key)} twice`);
      seen.add(key);
      if (key === 'dtype') {
        declared.dtype = this.#string(() => `dtype of tensor ${quoted(name)}`);
      } else if (key === 'shape') {
        declared.shape = this.#integers(() => `shape of tensor ${quoted(name)}`, maxDimensions);
      } else if (key === 'data_offsets') {
        const what = (): string => `data_offsets of tensor ${quoted(name)}`;
        const [begin, end, ...rest] = this.#integers(what, 3);
        if (begin === undefined || end === undefined || rest.length > 0) {
          this.#fail(`${what()}: expected two integers [begin, end]`);
        }
        declared.begin = begin;
        declared.end = end;
      } else {
        this.#fail(
          `tensor ${quoted(name)} has the key ${quoted(key)}, expected dtype, shape and data_offsets only`,
        );
      }
    });
    for (const key of ['dtype', 'shape', 'data_offsets']) {
      if (!seen.has(key)) this.#fail(`tensor ${quoted(name)} has no ${key}`);
    }
    return declared;
  }

  /** Reads `{...}`, calling `value` with each key, to read what stands behind its colon. */
  #object(value: (key: string) => void): void {
    this.#expect('{');
    this.#space();
    if (this.#accept('}')) return;
    do {
      this.#space();
      const key = this.#string(() => 'a key');
      this.#space();
      this.#expect(':');
      this.#space();
      value(key);
      this.#space();
    } while (this.#accept(','));
    this.#expect('}');
  }

  #integers(what: () => string, limit: number): number[] {
    const values: number[] = [];
    if (!this.#accept('['))
      this.#fail(`${what()}: got ${this.#found()}, expected a list of integers`);
    this.#space();
    if (this.#accept(']')) return values;
    do {
      this.#space();
      if (values.length === limit) this.#fail(`${what()}: expected at most ${limit} numbers`);
      values.push(this.#integer(what));
      this.#space();
    } while (this.#accept(','));
    this.#expect(']');
    return values;
  }

  #integer(what: () => string): number {
    const token = /[-+.\w]{1,40}/y;
    token.lastIndex = this.#at;
    const digits = token.exec(this.#text)?.[0];
    if (digits === undefined || !/^(?:0|[1-9]\d*)$/.test(digits)) {
      this.#fail(`${what()}: got ${digits ?? this.#found()}, expected integers of at least 0`);
    }
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) {
      this.#fail(`${what()}: got ${digits}, expected at most 2^53 - 1`);
    }
    this.#at += digits.length;
    return value;
  }

  #string(what: () => string): string {
    if (this.#text.charCodeAt(this.#at) !== quote) {
      this.#fail(`${what()}: got ${this.#found()}, expected a string`);
    }
    const start = this.#at;
    let end = start + 1;
    for (;;) {
      const code = this.#text.charCodeAt(end);
      if (Number.isNaN(code)) this.#fail(`${what()}: the string has no end`);
      if (code === quote) break;
      end += code === backslash ? 2 : 1;
    }
    this.#at = end + 1;
    try {
      // The escapes and forbidden control characters of a single string are JSON's business.
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      this.#at = start;
      return this.#fail(`${what()}: not a valid JSON string`);
    }
  }

  #space(): void {
    // A loop, not a pattern: this is called a dozen times per tensor.
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #accept(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) this.#fail(`got ${this.#found()}, expected "${character}"`);
  }

  #found(): string {
    if (this.#at >= this.#text.length) return 'the end of the header';
    return quoted(this.#text.slice(this.#at, this.#at + 12));
  }

  #fail(problem: string): never {
    throw new FormatError(
      `${this.#where}: header, character ${this.#at}: ${problem}. ` +
        'The file is damaged or not safetensors.',
    );
  }
}

/** A name from a file in a message: escaped, and never longer than a line. */
export function quoted(name: string): string {
  const text = JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);
  return text.replace(obeyed, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}

/** What JSON leaves as it is and a terminal obeys: further control characters, and marks that turn text around. */
const obeyed = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;
