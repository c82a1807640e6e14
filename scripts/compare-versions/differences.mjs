// What differs between two folders of results, each kind of difference once, with an example and a count.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

/** What no two runs have in common: times, and what describes version and machine. */
const ignoredKeys = new Set([
  ...['created', 'at', 'seconds', 'imagesPerSecond', 'ms', 'time', 'versions', 'machine', 'pid'],
  ...['metricsBytes', 'elapsed', 'trainSeconds', 'bytes'],
  // Of files that are compared themselves.
  'sha256',
]);
/** Their content is compared where it stands otherwise: times are drawn or written into these. */
const ignoredFiles = /(?:^cache\/|^images\/|^others\/|tfevents|report\.html$|run\.lock$|\.tmp$)/;

/**
 * @param names - what the old version called otherwise: `out_proj=consumer`; wherever it stands as a word of its own
 * @returns one line for each kind of difference, and the number of files that are in both
 */
export function differencesOf(oldFolder, newFolder, names = []) {
  const today = renaming(names);
  const kinds = new Map();
  const report = (file, place, text) => {
    const kind = `${place.replace(/\b\d+\b/g, '*')}: ${text}`;
    const found = kinds.get(kind) ?? { files: new Set(), example: `${file} ${place}` };
    found.files.add(file);
    kinds.set(kind, found);
  };
  const [before, after] = [filesOf(oldFolder), filesOf(newFolder)];
  for (const file of before) if (!after.has(file)) report(file, '', `${file} only in old`);
  for (const file of after) if (!before.has(file)) report(file, '', `${file} only in new`);
  const both = [...before].filter((file) => after.has(file));
  for (const file of both) {
    const [old, now] = [oldFolder, newFolder].map((folder) => readFileSync(join(folder, file)));
    if (old.equals(now)) continue;
    compareFile(file, { old, now, today }, (place, text) => {
      report(file, place, text);
    });
  }
  const lines = [...kinds].map(
    ([kind, { files, example }]) => `${kind}\n    in ${files.size} files, such as ${example}`,
  );
  return { lines, files: both.length };
}

function filesOf(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Set(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      .filter((file) => !ignoredFiles.test(file))
      .sort(),
  );
}

/** Changes words of a text; both sides go through it. */
function renaming(names) {
  const pairs = names.map((name) => name.split('='));
  return (text) =>
    pairs.reduce(
      (changed, [old, now]) => changed.replaceAll(new RegExp(`\\b${old}\\b`, 'g'), now),
      text,
    );
}

function compareFile(file, { old, now, today }, report) {
  const read = (bytes) => JSON.parse(today(bytes.toString()));
  const lines = (bytes) =>
    today(bytes.toString())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  if (file.endsWith('.safetensors')) compareTensors(old, now, today, report);
  else if (file.endsWith('.jsonl')) compareValues(lines(old), lines(now), '', report);
  else if (file.endsWith('.json')) compareValues(read(old), read(now), '', report);
  // Their metadata has names as well; as Latin-1 every byte is one letter.
  else if (today(old.toString('latin1')) !== today(now.toString('latin1')))
    report('', `${file.slice(file.lastIndexOf('.'))} files have other bytes`);
}

function compareTensors(oldBytes, newBytes, today, report) {
  const [old, now] = [readTensors(oldBytes), readTensors(newBytes)];
  const [before, after] = [old, now].map(({ metadata }) =>
    JSON.parse(today(JSON.stringify(metadata))),
  );
  compareValues(before, after, 'metadata', report);
  const names = new Set([...old.tensors.keys(), ...now.tensors.keys()]);
  // Of the rest of a checkpoint, times among it.
  names.delete('digest');
  for (const name of names) {
    const [a, b] = [old.tensors.get(name), now.tensors.get(name)];
    if (a === undefined) report(name, 'a tensor only in new');
    else if (b === undefined) report(name, 'a tensor only in old');
    else if (!isDeepStrictEqual(a.facts, b.facts))
      report(name, 'a tensor of another shape or type');
    else if (!a.data.equals(b.data)) report(name, 'a tensor with other bits');
  }
}

/** Of a safetensors file. */
function readTensors(bytes) {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...header } = JSON.parse(bytes.toString('utf8', 8, start));
  const tensors = Object.entries(header).map(
    ([
      name,
      {
        data_offsets: [from, to],
        ...facts
      },
    ]) => [name, { facts, data: bytes.subarray(start + from, start + to) }],
  );
  return { metadata, tensors: new Map(tensors) };
}

function compareValues(before, after, place, report) {
  const [old, now] = [unfolded(before), unfolded(after)];
  if (isDeepStrictEqual(old, now)) return;
  if (!isObject(old) || !isObject(now) || Array.isArray(old) !== Array.isArray(now)) {
    report(place, `${shown(old, now)} became ${shown(now, old)}`);
    return;
  }
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (ignoredKeys.has(key)) continue;
    const inner = place === '' ? key : `${place}.${key}`;
    if (!(key in old)) report(inner, `${shown(now[key])} only in new`);
    else if (!(key in now)) report(inner, `${shown(old[key])} only in old`);
    else compareValues(old[key], now[key], inner, report);
  }
}

const isObject = (value) => typeof value === 'object' && value !== null;

/** What is printed or stored as text may be JSON itself, or is broken into lines as its words have it. */
function unfolded(value) {
  if (typeof value !== 'string') return value;
  if (!/^\s*[{[]/.test(value)) return value.replaceAll(/\s+/g, ' ');
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** As JSON; of a long text the part where it begins to differ from the other. */
function shown(value, other) {
  const [text, otherText] = [value, other].map((each) => JSON.stringify(each) ?? 'nothing');
  if (text.length <= 200) return text;
  const at = Array.from(text).findIndex((letter, i) => letter !== otherText[i]);
  const start = other === undefined ? 0 : Math.max(0, at - 40);
  return `${start > 0 ? '...' : ''}${text.slice(start, start + 200)}...`;
}
