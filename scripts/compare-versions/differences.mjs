// What differs between two folders of results, each kind of difference once, with an example and a count.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

/** What no two runs have in common: times, and what describes version and machine. */
const ignoredKeys = new Set([
  ...['created', 'at', 'seconds', 'imagesPerSecond', 'ms', 'time', 'versions', 'machine', 'pid'],
  ...['metricsBytes', 'elapsed', 'trainSeconds', 'bytes'],
]);
/** Their content is compared where it stands otherwise: times are drawn or written into these. */
const ignoredFiles = /(?:^cache\/|^images\/|^others\/|tfevents|report\.html$|run\.lock$|\.tmp$)/;

/** @returns one line for each kind of difference, and the number of files that are in both */
export function differencesOf(oldFolder, newFolder) {
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
    compareFile(file, join(oldFolder, file), join(newFolder, file), (place, text) => {
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

function compareFile(file, oldPath, newPath, report) {
  const [before, after] = [readFileSync(oldPath), readFileSync(newPath)];
  if (before.equals(after)) return;
  if (file.endsWith('.safetensors')) compareTensors(before, after, report);
  else if (file.endsWith('.jsonl')) compareValues(linesOf(before), linesOf(after), '', report);
  else if (file.endsWith('.json')) compareValues(parsed(before), parsed(after), '', report);
  else report('', `${file.slice(file.lastIndexOf('.'))} files have other bytes`);
}

const parsed = (bytes) => JSON.parse(bytes.toString());
const linesOf = (bytes) => bytes.toString().trim().split('\n').map(parsed);

function compareTensors(before, after, report) {
  const [old, now] = [readTensors(before), readTensors(after)];
  compareValues(old.metadata, now.metadata, 'metadata', report);
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

/** What is printed or stored as text may be JSON itself. */
function unfolded(value) {
  if (typeof value !== 'string' || !/^\s*[{[]/.test(value)) return value;
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
