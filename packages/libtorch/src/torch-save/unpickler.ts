// A stack machine for Python pickles, protocols 2 to 5, that runs no code: a pickle can only build data
// and name the globals of an allow-list (python-globals.ts, torch-globals.ts, numpy-globals.ts), whose
// constructors are ours. Opcodes after CPython's Lib/pickletools.py. Extension codes, text opcodes of
// protocol 0, out-of-band buffers and the instance opcodes of Python 2 classes are refused: torch never
// writes them.
//
// Everything is bounded, because a pickle of a few bytes can ask for a lot (copying one long list again
// and again): bytes of the pickle, objects, stack, memo, and copied elements.
import { isUtf8 } from 'node:buffer';
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { toNumber } from './number-readers.js';
import { opcodes, stopOpcode } from './opcodes.js';
import { OtherTensor, type PickleValue, PythonGlobal, PythonObject } from './values.js';

/**
 * Limits far above real checkpoints (100 000 tensors take 20 MB of pickle and 1 M objects). What takes memory
 * is counted by itself: a long pickle alone takes no more than its file.
 */
export const pickleLimits = {
  /** Arrays of numpy lie in the pickle itself, so a large one is nothing strange. */
  bytes: 1024 ** 3,
  /** One text of V8 holds about 512 MiB. */
  text: 384 * 1024 ** 2,
  objects: 2_000_000,
  stack: 4_000_000,
  marks: 1_000,
  memo: 4_000_000,
  integerBytes: 256,
} as const;

/** A global, or a placeholder for what a global made: functools.partial, a method that getattr looked up. */
export type Callee = PythonGlobal | PythonObject;

/** What pickles may name: a value, or something that can be called with arguments. */
export interface PickleEnvironment {
  /** Start of every message: `readTorchSave "file"`. */
  readonly where: string;
  /** The part of the file that the pickle is, for messages. Default `data.pkl`. */
  readonly part?: string;
  /** @throws FormatError if the global is not allowed */
  findGlobal(name: string): PickleValue;
  /** What calling a global with these arguments makes. @throws FormatError if it cannot be called so */
  call(callee: Callee, args: PickleValue[], machine: Unpickler): PickleValue;
  /** The same with named arguments; such calls are refused if there is no such function. */
  callWithNames?(callee: Callee, args: PickleValue[], named: PickleValue): PickleValue | undefined;
  /** The object behind a persistent id: torch's storages. */
  persistent(id: PickleValue, machine: Unpickler): PickleValue;
  /** Sets an object's state. */
  build(target: PickleValue, state: PickleValue, machine: Unpickler): void;
}

export class Unpickler {
  #at = 0;
  #stack: PickleValue[] = [];
  /** Stacks below the marks: an opcode after a mark sees only what was pushed since. */
  readonly #below: PickleValue[][] = [];
  #depth = 0;
  readonly #memo = new Map<number, PickleValue>();
  #objects = 0;
  #copied = 0;
  #view: DataView;
  #bytes: Uint8Array;
  readonly #environment: PickleEnvironment;
  /** More of the pickle, from its first byte on; undefined if the file has no more than so many. */
  readonly #more: (have: number) => Uint8Array | undefined;

  constructor(
    bytes: Uint8Array,
    environment: PickleEnvironment,
    more: (have: number) => Uint8Array | undefined = () => undefined,
  ) {
    this.#bytes = bytes;
    this.#environment = environment;
    this.#more = more;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @throws FormatError on anything but a complete, allowed pickle */
  load(): PickleValue {
    if (this.#bytes.length > pickleLimits.bytes) {
      this.fail(`a pickle of ${this.#bytes.length} bytes, expected at most ${pickleLimits.bytes}`);
    }
    for (;;) {
      const opcode = this.byte();
      if (opcode === stopOpcode) return this.pop();
      const run = opcodes[opcode];
      if (run === undefined) {
        this.fail(
          `opcode 0x${opcode.toString(16).padStart(2, '0')}, expected one of protocol 2 to 5`,
        );
      }
      run(this);
      if (this.#depth + this.#stack.length > pickleLimits.stack) {
        this.fail(`more than ${pickleLimits.stack} values on the stack`);
      }
    }
  }

  /** Bytes of the pickle that were read: what follows begins there. */
  get position(): number {
    return this.#at;
  }

  /** The name that the value being made is to have in a dict: what lies on top of the stack then. */
  get key(): string | undefined {
    const top = this.#stack.at(-1);
    return typeof top === 'string' ? top : undefined;
  }

  /** Start of messages: which file. */
  get where(): string {
    return this.#environment.where;
  }

  /** Counts a new container or object. */
  count(): void {
    this.#objects += 1;
    if (this.#objects > pickleLimits.objects) {
      this.fail(`more than ${pickleLimits.objects} objects`);
    }
  }

  /** Counts elements or bytes copied from existing values, which a pickle gets for a few bytes. */
  charge(elements: number): void {
    this.#copied += elements;
    if (this.#copied > 1_000_000 + 16 * this.#bytes.length) {
      this.fail('a structure that copies its own parts again and again');
    }
  }

  fail(found: string): never {
    throw new FormatError(
      `${this.#environment.where}: ${this.#environment.part ?? 'data.pkl'}, byte ${this.#at}: got ${found}. ` +
        'The file is damaged, hostile or not from torch.save.',
    );
  }

  // What follows is what the opcode table calls.

  byte(): number {
    if (this.#at >= this.#bytes.length) this.#available(1);
    const value = this.#bytes[this.#at];
    if (value === undefined) this.fail('the end of the pickle, expected more of it');
    this.#at += 1;
    return value;
  }

  protocol(): void {
    const version = this.byte();
    if (version < 2 || version > 5) this.fail(`pickle protocol ${version}, expected 2 to 5`);
  }

  /** The next bytes, not copied. */
  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at && !this.#available(length)) {
      this.fail(
        `${length} more bytes announced, expected at most ${this.#bytes.length - this.#at}`,
      );
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Whether there are so many more bytes; reads on if the file has them. */
  #available(length: number): boolean {
    while (length > this.#bytes.length - this.#at) {
      const longer = this.#more(this.#bytes.length);
      if (longer === undefined) return false;
      this.#bytes = longer;
      this.#view = new DataView(longer.buffer, longer.byteOffset, longer.byteLength);
    }
    return true;
  }

  uint16(): number {
    this.take(2);
    return this.#view.getUint16(this.#at - 2, true);
  }

  uint32(): number {
    this.take(4);
    return this.#view.getUint32(this.#at - 4, true);
  }

  int32(): number {
    this.take(4);
    return this.#view.getInt32(this.#at - 4, true);
  }

  /** A length; one beyond 2^53 is no exact number, but fails the check of take() all the same. */
  uint64(): number {
    this.take(8);
    return Number(this.#view.getBigUint64(this.#at - 8, true));
  }

  float64(): number {
    this.take(8);
    return this.#view.getFloat64(this.#at - 8, false);
  }

  /** Python's integers: two's complement of any length. */
  integer(length: number): number | bigint {
    if (length > pickleLimits.integerBytes) {
      this.fail(`an integer of ${length} bytes, expected at most ${pickleLimits.integerBytes}`);
    }
    let value = 0n;
    const bytes = this.take(length);
    for (let i = length - 1; i >= 0; i -= 1) value = (value << 8n) | BigInt(bytes[i] ?? 0);
    return toNumber(BigInt.asIntN(length * 8, value));
  }

  text(length: number): string {
    // Python writes lone surrogates ("surrogatepass"), so a wrong byte becomes U+FFFD instead of an error.
    const bytes = this.take(length);
    if (length > pickleLimits.text) {
      this.fail(`a text of ${length} bytes, expected at most ${pickleLimits.text}`);
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('utf8');
  }

  /** A str of Python 2, which may hold bytes: those that are no UTF-8 stay what they are. */
  pushText2(length: number): void {
    if (length <= pickleLimits.text) {
      const bytes = this.take(length);
      if (isUtf8(bytes)) {
        this.push(Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('utf8'));
        return;
      }
      this.#at -= length;
    }
    this.pushBytes(length);
  }

  /** Text up to the next line feed. */
  line(): string {
    this.#available(1001);
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 1000) this.fail('a name without end');
    const text = this.text(end - this.#at);
    this.#at += 1;
    return text;
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) this.fail('an opcode that takes a value off an empty stack');
    return value;
  }

  top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) this.fail('an opcode that needs a value on an empty stack');
    return value;
  }

  mark(): void {
    if (this.#below.length >= pickleLimits.marks) {
      this.fail(`more than ${pickleLimits.marks} open marks`);
    }
    this.#below.push(this.#stack);
    this.#depth += this.#stack.length;
    this.#stack = [];
  }

  /** Everything since the last mark, which is removed. */
  popMark(): PickleValue[] {
    const lower = this.#below.pop();
    if (lower === undefined) this.fail('an opcode that needs a mark');
    const items = this.#stack;
    this.#stack = lower;
    this.#depth -= lower.length;
    return items;
  }

  /** Makes a tuple or list of the topmost values. */
  tuple(size: number): void {
    if (this.#stack.length < size) this.fail('a tuple of more values than there are');
    this.pushNew(this.#stack.splice(this.#stack.length - size, size));
  }

  pushNew(value: PickleValue): void {
    this.count();
    this.push(value);
  }

  /** Bytes of their own: slice() of a Buffer would share its memory. */
  pushBytes(length: number): void {
    this.pushNew(new Uint8Array(this.take(length)));
  }

  remember(index: number): void {
    if (this.#memo.size >= pickleLimits.memo)
      this.fail(`more than ${pickleLimits.memo} memo entries`);
    this.#memo.set(index, this.top());
  }

  rememberNext(): void {
    this.remember(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.fail(`memo entry ${index}, which was never made`);
    this.push(value);
  }

  /** Makes a dict of the keys and values since the last mark. */
  dict(): void {
    const items = this.popMark();
    this.pushNew(new Map<PickleValue, PickleValue>());
    this.setItems(items);
  }

  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (Array.isArray(target)) for (const item of items) target.push(item);
    else if (target instanceof Set) for (const item of items) target.add(item);
    else if (target instanceof PythonObject) for (const item of items) target.items.push(item);
    else this.fail(`values for ${describe(target)}, expected a list or set`);
  }

  setItems(items: readonly PickleValue[]): void {
    const target = this.top();
    const map = target instanceof PythonObject ? target.entries : target;
    if (!(map instanceof Map)) this.fail(`keys for ${describe(target)}, expected a dict`);
    if (items.length % 2 !== 0) this.fail('a key without a value');
    for (let i = 0; i < items.length; i += 2) map.set(items[i] ?? null, items[i + 1] ?? null);
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      this.fail('a global without a name');
    this.push(this.#environment.findGlobal(`${module}.${name}`));
  }

  call(callee: PickleValue, args: PickleValue): void {
    if (!isCallee(callee)) this.fail(`a call of ${describe(callee)}`);
    if (!Array.isArray(args)) this.fail(`a call with ${describe(args)}, expected a tuple`);
    this.pushNew(this.#environment.call(callee, args, this));
  }

  callWithNames(): void {
    const named = this.pop();
    const args = this.pop();
    const callee = this.pop();
    if (named instanceof Map && named.size === 0) {
      this.call(callee, args);
      return;
    }
    const made =
      isCallee(callee) && Array.isArray(args)
        ? this.#environment.callWithNames?.(callee, args, named)
        : undefined;
    if (made === undefined) this.fail('a call with named arguments');
    this.pushNew(made);
  }

  persistent(): void {
    this.push(this.#environment.persistent(this.pop(), this));
  }

  build(): void {
    const state = this.pop();
    this.#environment.build(this.top(), state, this);
  }
}

const isCallee = (value: PickleValue): value is Callee =>
  value instanceof PythonGlobal || value instanceof PythonObject;

/** A value in a message. */
export function describe(value: PickleValue): string {
  if (value === null) return 'None';
  if (Array.isArray(value)) return 'a list or tuple';
  if (value instanceof Map) return 'a dict';
  if (value instanceof Set) return 'a set';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof PythonGlobal) return `the global "${value.name}"`;
  if (value instanceof OtherTensor) return value.what;
  if (value instanceof PythonObject) return `an object of "${value.global}"`;
  if (typeof value === 'string') return `the text ${quoted(value)}`;
  return typeof value === 'object' ? 'a tensor' : `the ${typeof value} ${value}`;
}
