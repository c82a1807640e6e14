// torch.save files made by hand, so that they may be what torch.save would never write.
import { writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';

/** A tensor over a storage of its own with one float32 per value. */
export interface MadeTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Key of a storage. */
  readonly storage: string;
}

/**
 * Writes a state dict of float32 tensors; several may look at one storage.
 * @param under - key of a dict around it, as checkpoints have. Default: none.
 */
export function writeTorchArchive(
  path: string,
  tensors: readonly MadeTensor[],
  storages: Readonly<Record<string, readonly number[]>>,
  under?: string,
): void {
  const around = under === undefined ? [] : [Buffer.from('}'), text(under)];
  const parts: Buffer[] = [Buffer.from([0x80, 2]), ...around, Buffer.from('}(')];
  for (const { name, shape, strides, storage } of tensors) {
    parts.push(
      text(name),
      Buffer.from('ctorch._utils\n_rebuild_tensor_v2\n(('),
      text('storage'),
      Buffer.from('ctorch\nFloatStorage\n'),
      text(storage),
      text('cpu'),
      integer(storages[storage]?.length ?? 0),
      Buffer.from('tQ'),
      integer(0),
      tuple(shape),
      tuple(strides),
      Buffer.from([0x89]),
      Buffer.from('ccollections\nOrderedDict\n)RtR'),
    );
  }
  parts.push(Buffer.from(under === undefined ? 'u.' : 'us.'));
  const entries: [string, Buffer][] = [['made/data.pkl', Buffer.concat(parts)]];
  for (const [key, values] of Object.entries(storages)) {
    entries.push([`made/data/${key}`, Buffer.from(new Float32Array(values).buffer)]);
  }
  writeFileSync(path, storedZip(entries));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.from('X    ');
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function integer(value: number): Buffer {
  const bytes = Buffer.from('J    ');
  bytes.writeInt32LE(value, 1);
  return bytes;
}

const tuple = (values: readonly number[]): Buffer =>
  Buffer.concat([Buffer.from('('), ...values.map(integer), Buffer.from('t')]);

/** A zip archive whose entries are not compressed. */
export function storedZip(entries: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const local: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, data] of entries) {
    // From "version needed" to "length of the extra field", the same in both places.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\0', 'latin1'), common, rest, Buffer.from(name));
    const entry = [Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), data];
    local.push(...entry);
    at += entry.reduce((sum, { length }) => sum + length, 0);
  }
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(
    directory.reduce((sum, { length }) => sum + length, 0),
    8,
  );
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...local, ...directory, Buffer.from('PK\x05\x06', 'latin1'), end]);
}
