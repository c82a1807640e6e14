// Parts of files of torch < 1.6 made by hand, so that they may be what torch.save would never write.
// Opcodes are letters where they have one.

export const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
};
export const text = (value: string): string => `U${String.fromCharCode(value.length)}${value}`;

export const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.';
export const version = '\x80\x02M\xe9\x03.';
export const machine = `\x80\x02}${text('little_endian')}\x88s.`;
export const start = magic + version + machine;

/** The pickle of `{w: tensor}` over a storage of float32; `count` is the opcode of a number. */
export const structure = (
  count: string,
  { part = 'N', offset = 'K\x00', size = 'K\x02' } = {},
): string =>
  `\x80\x02}${text('w')}ctorch._utils\n_rebuild_tensor_v2\n((${text('storage')}ctorch\nFloatStorage\n` +
  `${text('0')}${text('cpu')}${count}${part}tQ${offset}${size}\x85K\x01\x85\x89}tRs.`;
export const keys = (...names: string[]): string => `\x80\x02](${names.map(text).join('')}e.`;
export const floats = (...values: number[]): Buffer => Buffer.from(new Float32Array(values).buffer);
