import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.js';
import { pythonGlobals } from './python-globals.js';
import { type PickleEnvironment, Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal } from './values.js';

/** The globals of Python alone, so that the machine is tested without a file. */
const environment: PickleEnvironment = {
  where: 'test',
  findGlobal: (name) => {
    if (!pythonGlobals.has(name)) throw new FormatError(`refused ${name}`);
    return new PythonGlobal(name);
  },
  call: (callee, args, machine) => {
    const name = callee instanceof PythonGlobal ? callee.name : callee.global;
    const make = pythonGlobals.get(name);
    return make ? make(args, machine) : machine.fail(`a call of ${name}`);
  },
  persistent: (id) => id,
  build: (target, state) => {
    if (target instanceof Map) target.set('state', state);
  },
};

/** Opcodes as text where they are letters; `\x80` and the like are bytes. */
function load(pickle: string): PickleValue {
  return new Unpickler(Buffer.from(pickle, 'latin1'), environment).load();
}

const le32 = (n: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes.toString('latin1');
};

describe('Unpickler', () => {
  it('reads numbers of every kind', () => {
    expect(load('\x80\x02(K\xffM\xff\xffJ\xff\xff\xff\xffG?\xf8\0\0\0\0\0\0t.')).toEqual([
      255, 65535, -1, 1.5,
    ]);
    expect(load('\x80\x02\x8a\x00.')).toBe(0);
    expect(load('\x80\x02\x8a\x01\x80.')).toBe(-128);
    expect(load('\x80\x02\x8a\x08\0\0\0\0\0\0\0\xf0.')).toBe(-(2n ** 60n));
    expect(load(`\x80\x02\x8b${le32(9)}\0\0\0\0\0\0\0\0\x40.`)).toBe(2n ** 70n);
    expect(load('\x80\x02(N\x88\x89t.')).toEqual([null, true, false]);
  });

  it('reads text and bytes of every length field', () => {
    expect(load(`\x80\x02X${le32(3)}\xe2\x82\xac.`)).toBe('€');
    expect(load('\x80\x04\x8c\x02hi.')).toBe('hi');
    expect(load(`\x80\x04\x8d${le32(2)}${le32(0)}hi.`)).toBe('hi');
    expect(load(`\x80\x02T${le32(2)}hi.`)).toBe('hi');
    expect(load('\x80\x02U\x02hi.')).toBe('hi');
    expect(load('\x80\x03C\x02\x00\xff.')).toEqual(new Uint8Array([0, 255]));
    expect(load(`\x80\x03B${le32(1)}a.`)).toEqual(new Uint8Array([97]));
    expect(load(`\x80\x05\x96${le32(1)}${le32(0)}a.`)).toEqual(new Uint8Array([97]));
  });

  it('reads containers, nested and shared', () => {
    expect(load('\x80\x02](K\x01K\x02e.')).toEqual([1, 2]);
    expect(load('\x80\x02]K\x01a.')).toEqual([1]);
    expect(load('\x80\x02(K\x01K\x02d.')).toEqual(new Map([[1, 2]]));
    expect(load('\x80\x02}(U\x01aK\x01U\x01bK\x02u.')).toEqual(
      new Map([
        ['a', 1],
        ['b', 2],
      ]),
    );
    expect(load('\x80\x04\x8f(K\x01K\x01K\x02\x90.')).toEqual(new Set([1, 2]));
    expect(load('\x80\x04(K\x01\x91.')).toEqual(new Set([1]));
    expect(load('\x80\x02K\x01K\x02K\x03\x87.')).toEqual([1, 2, 3]);
    const shared = load('\x80\x02]q\x00h\x00\x86.') as PickleValue[];
    expect(shared[0]).toBe(shared[1]);
    const framed = load(`\x80\x04\x95${le32(6)}${le32(0)}]\x94h\x00a.`) as PickleValue[];
    expect(framed[0]).toBe(framed); // a list that contains itself
  });

  it('makes the known kinds of dict, set, list and bytes', () => {
    const call = (global: string, args: string) => load(`\x80\x02c${global}\n${args}R.`);
    expect(call('collections\nOrderedDict', ')')).toEqual(new Map());
    expect(call('collections\nOrderedDict', '](K\x01K\x02\x86e\x85')).toEqual(new Map([[1, 2]]));
    expect(call('collections\nCounter', '}K\x01K\x02s\x85')).toEqual(new Map([[1, 2]]));
    expect(call('collections\ndefaultdict', 'c__builtin__\nlist\n}K\x01K\x02s\x86')).toEqual(
      new Map([[1, 2]]),
    );
    expect(call('builtins\nset', ']K\x01a\x85')).toEqual(new Set([1]));
    expect(call('builtins\ntuple', ']K\x01a\x85')).toEqual([1]);
    expect(call('_codecs\nencode', `X${le32(2)}\xc3\xbfU\x06latin1\x86`)).toEqual(
      new Uint8Array([255]),
    );
  });

  const refused: [what: string, pickle: string, message: string][] = [
    ['nothing', '', 'the end of the pickle'],
    ['a pickle without STOP', '\x80\x02N', 'the end of the pickle'],
    ['STOP on an empty stack', '\x80\x02.', 'an empty stack'],
    ['an old protocol', '\x80\x01N.', 'protocol 1'],
    ['a future protocol', '\x80\x06N.', 'protocol 6'],
    ['a text opcode', '\x80\x02I1\n.', 'opcode 0x49'],
    ['an instance of Python 2', '\x80\x02(ios\nsystem\n.', 'opcode 0x69'],
    ['an extension code', '\x80\x02\x82\x01.', 'opcode 0x82'],
    ['an out-of-band buffer', '\x80\x05\x97.', 'opcode 0x97'],
    ['a forbidden global', '\x80\x02cos\nsystem\n(U\x02lstR.', 'refused os.system'],
    ['a forbidden global of protocol 4', '\x80\x04\x8c\x02os\x8c\x06system\x93.', 'refused os.sys'],
    ['getattr', '\x80\x02c__builtin__\ngetattr\n.', 'refused __builtin__.getattr'],
    ['eval', '\x80\x02cbuiltins\neval\n.', 'refused builtins.eval'],
    ['a global without end', '\x80\x02cbuiltins', 'a name without end'],
    ['a call of a class that is only named', '\x80\x02cbuiltins\nint\n)R.', 'call of builtins.int'],
    ['a call of a number', '\x80\x02K\x01)R.', 'a call of the number 1'],
    ['a call without arguments', '\x80\x02cbuiltins\nset\nNR.', 'a call with None'],
    ['a call with named arguments', '\x80\x04cbuiltins\nset\n)}NNs\x92.', 'named arguments'],
    ['text longer than the pickle', `\x80\x02X${le32(0xffffffff)}a.`, '4294967295 more bytes'],
    ['bytes beyond 2^53', `\x80\x04\x8e${'\xff'.repeat(8)}.`, 'more bytes announced'],
    ['a giant integer', `\x80\x02\x8b${le32(1000)}${'a'.repeat(1000)}.`, 'integer of 1000 bytes'],
    ['a memo entry that was never made', '\x80\x02h\x07.', 'memo entry 7'],
    ['a tuple without values', '\x80\x02\x85.', 'more values than there are'],
    ['a tuple without a mark', '\x80\x02Nt.', 'needs a mark'],
    ['a key without value', '\x80\x02}(Nu.', 'a key without a value'],
    ['keys for a list', '\x80\x02]NNs.', 'keys for a list'],
    ['values for a dict', '\x80\x02}Na.', 'values for a dict'],
    ['marks without end', `\x80\x02${'('.repeat(2000)}.`, 'open marks'],
    ['objects without end', `\x80\x02${']0'.repeat(2_000_001)}N.`, 'objects'],
    ['a stack without end', `\x80\x02${'N'.repeat(4_000_001)}.`, 'values on the stack'],
    [
      'a set that is copied again and again',
      `\x80\x02(${'K\x01'.repeat(20_000)}lq\x00${'cbuiltins\nlist\nh\x00\x85R0'.repeat(1000)}N.`,
      'copies its own parts again and again',
    ],
  ];
  it.each(refused)('refuses %s', (_, pickle, message) => {
    // Once only: some of these take half a second until their limit is reached.
    let error: unknown;
    try {
      load(pickle);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toContain(message);
  });
});
