// The opcodes of pickle protocols 2 to 5 (CPython's Lib/pickletools.py), as steps of the Unpickler.
import type { Unpickler } from './unpickler.js';
import type { PickleValue } from './values.js';

/** Ends the pickle; its value is on top of the stack. */
export const stopOpcode = 0x2e;

/** What each opcode does. Each consumes at least its own byte, so the machine always ends. */
// prettier-ignore
export const opcodes: Readonly<Record<number, (m: Unpickler) => void>> = {
  /* PROTO            */ 0x80: (m) => { m.protocol(); },
  /* FRAME            */ 0x95: (m) => { m.take(8); }, // only helps readers of streams
  /* MARK             */ 0x28: (m) => { m.mark(); },
  /* POP              */ 0x30: (m) => { m.pop(); },
  /* POP_MARK         */ 0x31: (m) => { m.popMark(); },
  /* DUP              */ 0x32: (m) => { m.push(m.top()); },

  /* NONE             */ 0x4e: (m) => { m.push(null); },
  /* NEWTRUE          */ 0x88: (m) => { m.push(true); },
  /* NEWFALSE         */ 0x89: (m) => { m.push(false); },
  /* BININT           */ 0x4a: (m) => { m.push(m.int32()); },
  /* BININT1          */ 0x4b: (m) => { m.push(m.byte()); },
  /* BININT2          */ 0x4d: (m) => { m.push(m.uint16()); },
  /* LONG1            */ 0x8a: (m) => { m.push(m.integer(m.byte())); },
  /* LONG4            */ 0x8b: (m) => { m.push(m.integer(m.uint32())); },
  /* BINFLOAT         */ 0x47: (m) => { m.push(m.float64()); },

  /* BINUNICODE       */ 0x58: (m) => { m.push(m.text(m.uint32())); },
  /* SHORT_BINUNICODE */ 0x8c: (m) => { m.push(m.text(m.byte())); },
  /* BINUNICODE8      */ 0x8d: (m) => { m.push(m.text(m.uint64())); },
  /* BINSTRING        */ 0x54: (m) => { m.pushText2(m.uint32()); },
  /* SHORT_BINSTRING  */ 0x55: (m) => { m.pushText2(m.byte()); },
  /* BINBYTES         */ 0x42: (m) => { m.pushBytes(m.uint32()); },
  /* SHORT_BINBYTES   */ 0x43: (m) => { m.pushBytes(m.byte()); },
  /* BINBYTES8        */ 0x8e: (m) => { m.pushBytes(m.uint64()); },
  /* BYTEARRAY8       */ 0x96: (m) => { m.pushBytes(m.uint64()); },

  /* EMPTY_LIST       */ 0x5d: (m) => { m.pushNew([]); },
  /* APPEND           */ 0x61: (m) => { const value = m.pop(); m.append([value]); },
  /* APPENDS          */ 0x65: (m) => { m.append(m.popMark()); },
  /* LIST             */ 0x6c: (m) => { m.pushNew(m.popMark()); },
  /* EMPTY_TUPLE      */ 0x29: (m) => { m.pushNew([]); },
  /* TUPLE            */ 0x74: (m) => { m.pushNew(m.popMark()); },
  /* TUPLE1           */ 0x85: (m) => { m.tuple(1); },
  /* TUPLE2           */ 0x86: (m) => { m.tuple(2); },
  /* TUPLE3           */ 0x87: (m) => { m.tuple(3); },

  /* EMPTY_DICT       */ 0x7d: (m) => { m.pushNew(new Map<PickleValue, PickleValue>()); },
  /* DICT             */ 0x64: (m) => { m.dict(); },
  /* SETITEM          */ 0x73: (m) => { const value = m.pop(); const key = m.pop(); m.setItems([key, value]); },
  /* SETITEMS         */ 0x75: (m) => { m.setItems(m.popMark()); },
  /* EMPTY_SET        */ 0x8f: (m) => { m.pushNew(new Set<PickleValue>()); },
  /* ADDITEMS         */ 0x90: (m) => { m.append(m.popMark()); },
  /* FROZENSET        */ 0x91: (m) => { m.pushNew(new Set(m.popMark())); },

  /* BINPUT           */ 0x71: (m) => { m.remember(m.byte()); },
  /* LONG_BINPUT      */ 0x72: (m) => { m.remember(m.uint32()); },
  /* MEMOIZE          */ 0x94: (m) => { m.rememberNext(); },
  /* BINGET           */ 0x68: (m) => { m.recall(m.byte()); },
  /* LONG_BINGET      */ 0x6a: (m) => { m.recall(m.uint32()); },

  /* GLOBAL           */ 0x63: (m) => { const module = m.line(); m.global(module, m.line()); },
  /* STACK_GLOBAL     */ 0x93: (m) => { const name = m.pop(); m.global(m.pop(), name); },
  /* REDUCE           */ 0x52: (m) => { const args = m.pop(); m.call(m.pop(), args); },
  /* NEWOBJ           */ 0x81: (m) => { const args = m.pop(); m.call(m.pop(), args); },
  /* NEWOBJ_EX        */ 0x92: (m) => { m.callWithNames(); },
  /* BUILD            */ 0x62: (m) => { m.build(); },
  /* BINPERSID        */ 0x51: (m) => { m.persistent(); },
};
