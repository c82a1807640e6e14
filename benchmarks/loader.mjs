// Images of a folder to batches of 224 px, beside Pillow in one run: random resized crop, bicubic, flip, normalised.
//
//   node benchmarks/loader.mjs [--data DIR] [--cores 1,2] [--rounds 3] [--seconds 4] [--python python3]
//
// DIR holds train/CLASS/IMAGE and val/CLASS/IMAGE; without it, 300 JPEG files of 500x375 are made. Every measurement is a
// process of its own that `taskset` keeps on so many cores: decoding, the thread of
// JavaScript, Python. Microseconds are those of processor time for one image, and the ratio is of these: on a machine that
// has other work they change less than the rates. `crops` are bytes, as they are sent to a GPU that augments and normalises there; `batches` are
// flipped and normalised on the host, float32. Rounds alternate in order; the median counts.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  aboveZero,
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  whole,
} from '../scripts/script-flags.mjs';
import { counted } from './facts.mjs';
import { median } from './median.mjs';
import { printedTable } from './printed-table.mjs';
import { measured } from './processes.mjs';

const { values: args } = readFlags({
  data: { type: 'string' },
  cores: { type: 'string', default: '1,2', value: listOf(whole()) },
  rounds: { type: 'string', default: '3', value: whole() },
  seconds: { type: 'string', default: '4', value: aboveZero },
  python: { type: 'string', default: process.env.TEST_PYTHON ?? 'python3' },
  // Of a measurement, which this script starts.
  measure: { type: 'string', value: oneOf('crops', 'batches') },
  threads: { type: 'string', default: '1', value: whole() },
});
const size = 224;
const seconds = Number(args.seconds);

if (args.measure === undefined) await compare();
else console.log(JSON.stringify(await measure(args.measure)));

/** Ours, in this process. */
async function measure(what) {
  const { BatchLoader, openDataset } = await import('mamba-prune/data');
  const { hasTurboJpeg, setImageThreads } = await import('@mamba-prune/libtorch/images');
  const threads = Number(args.threads);
  setImageThreads(threads);
  const { info, train } = await openDataset('folder', {
    dir: args.data,
    imageSize: size,
    interpolation: 'bicubic',
  });
  const crop = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3], resize: 'pillow' };
  const batchSize = Math.min(128, train.length);
  const loader = new BatchLoader(train, info, {
    batchSize,
    shuffle: true,
    augment: { resizedCrop: crop, flip: true },
    threads: threads > 1 ? threads : 0,
    dropLast: true,
  });
  async function* crops() {
    const count = Math.floor(train.length / batchSize);
    let next;
    for (let epoch = 0; ; epoch++) {
      for (let batch = 0; batch < count; batch++) {
        const indices = Uint32Array.from({ length: batchSize }, (_, i) => batch * batchSize + i);
        const reading = train.readCropped(indices, { seed: 0, epoch, ...crop });
        // One batch ahead, as a training on a GPU reads them.
        if (next) yield next;
        next = reading;
      }
    }
  }
  async function* batches() {
    for (let epoch = 0; ; epoch++) {
      for await (const batch of loader.epoch(epoch)) {
        yield batch;
        loader.recycle(batch);
      }
    }
  }
  let images = -2 * batchSize; // to warm up
  let [start, busy] = [0, process.cpuUsage()];
  const source = what === 'crops' ? crops() : batches();
  for await (const made of source) {
    void made;
    images += batchSize;
    if (images === 0) [start, busy] = [performance.now(), process.cpuUsage()];
    if (images > 0 && performance.now() - start >= 1000 * seconds) break;
  }
  const imagesPerSecond = (1000 * images) / (performance.now() - start);
  const { user, system } = process.cpuUsage(busy);
  await loader.close();
  const cpuMicroseconds = (user + system) / images;
  return { imagesPerSecond, cpuMicroseconds, version: hasTurboJpeg() ? 'libjpeg-turbo' : 'sharp' };
}

async function compare() {
  checkNeeds();
  const made = args.data === undefined ? await makeFolder() : undefined;
  const dir = made ?? args.data;
  try {
    const cores = numbersOf(args.cores);
    const rows = cores.flatMap((count) =>
      ['crops', 'batches'].flatMap((what) => [
        { who: 'ours', what, count },
        { who: 'Pillow', what, count },
      ]),
    );
    const rates = new Map(rows.map((row) => [row, []]));
    let versions = {};
    for (let round = 0; round < Number(args.rounds); round++) {
      for (const row of round % 2 === 0 ? rows : rows.toReversed()) {
        const { version, ...result } = run(row, dir);
        rates.get(row).push(result);
        versions = { ...versions, [row.who]: version };
        const { imagesPerSecond, cpuMicroseconds } = result;
        console.error(
          `${row.who} ${row.what}, ${counted(row.count, 'core')}: ${imagesPerSecond.toFixed(0)} images/s, ` +
            `${cpuMicroseconds.toFixed(0)} us of processor time an image`,
        );
      }
    }
    report(rows, rates, versions, made === undefined ? dir : '300 files of 500x375, made here');
  } finally {
    if (made !== undefined) rmSync(made, { recursive: true });
  }
}

function run({ who, what, count }, dir) {
  const self = fileURLToPath(import.meta.url);
  const peer = join(self, '..', 'peers', 'loader_pillow.py');
  const command =
    who === 'ours'
      ? [process.execPath, self, '--measure', what, '--data', dir, '--threads', `${count}`]
      : [
          args.python,
          peer,
          dir,
          '--processes',
          `${count}`,
          ...(what === 'crops' ? ['--crops'] : []),
        ];
  const pinned = [
    '-c',
    count === 1 ? '0' : `0-${count - 1}`,
    ...command,
    '--seconds',
    `${seconds}`,
  ];
  return measured(who, 'taskset', pinned, { threads: '1' });
}

/** Whether a command runs, and ends well. */
function runs(command, ...argv) {
  try {
    execFileSync(command, argv, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Before images are made and ours is measured, which takes a while. */
function checkNeeds() {
  if (args.data !== undefined && !existsSync(join(args.data, 'train')))
    refuse(
      `--data: ${args.data} has no folder train, expected train/CLASS/IMAGE and val/CLASS/IMAGE`,
    );
  if (!runs('taskset', '--version'))
    throw new Error('taskset is missing. Debian: apt-get install util-linux.');
  if (!runs(args.python, '-c', 'import numpy, PIL'))
    throw new Error(
      `${args.python}: no Python there, or none with numpy and Pillow. ` +
        'Debian: apt-get install python3-numpy python3-pil; or give --python PATH.',
    );
}

function report(rows, rates, versions, data) {
  const valuesOf = (who, what, count, name) =>
    rates
      .get(rows.find((row) => row.who === who && row.what === what && row.count === count))
      .map((result) => result[name]);
  const medianOf = (...which) => median(valuesOf(...which));
  const shown = (...which) => {
    const all = valuesOf(...which).map((value) => value.toFixed(0));
    return `${medianOf(...which).toFixed(0)} (${all.join(', ')})`;
  };
  console.log(
    `${cpus()[0].model}, Node ${process.version}; ours by ${versions.ours}, ${versions.Pillow}; ${data}`,
  );
  console.log(
    `Medians of ${counted(args.rounds, 'round')} of ${seconds} s, ${size} px; all rounds in brackets.\n`,
  );
  const counts = [...new Set(rows.map(({ count }) => count))];
  const ratioOf = ({ what, count }) => {
    const [ours, peer] = ['ours', 'Pillow'].map((who) =>
      medianOf(who, what, count, 'cpuMicroseconds'),
    );
    return peer / ours;
  };
  const lines = ['crops', 'batches'].flatMap((what) => counts.map((count) => ({ what, count })));
  const columns = [
    { title: 'what', cell: ({ what, count }) => `${what}, ${counted(count, 'core')}`, left: true },
    ...[
      ['images/s', 'imagesPerSecond'],
      ['us', 'cpuMicroseconds'],
    ].flatMap(([unit, name]) =>
      ['ours', 'Pillow'].map((who) => ({
        title: `${who}, ${unit}`,
        cell: ({ what, count }) => shown(who, what, count, name),
      })),
    ),
    { title: 'ratio', cell: (line) => ratioOf(line).toFixed(2) },
  ];
  console.log(printedTable(columns, lines));
  const ratios = lines.map(ratioOf);
  const [few, many] = [Math.min(...counts), Math.max(...counts)];
  const speed = (count) => medianOf('ours', 'crops', count, 'imagesPerSecond');
  const perCore = (who) => 1e6 / medianOf(who, 'crops', few, 'cpuMicroseconds');
  const scaling =
    many === few
      ? ''
      : ` From ${few} to ${many} cores our crops become ${(speed(many) / speed(few)).toFixed(2)} times as fast.`;
  console.log(
    `\nA second of a core gives ${perCore('ours').toFixed(0)} crops of ours and ${perCore('Pillow').toFixed(0)} of Pillow; ` +
      `the least ratio is ${Math.min(...ratios).toFixed(2)}.${scaling}`,
  );
}

/** Photographs there are none of here: soft ground, edges and a little noise, which compress much as photographs do. */
async function makeFolder() {
  const { default: sharp } = await import('sharp');
  const dir = mkdtempSync(join(tmpdir(), 'loader-'));
  const [width, height] = [500, 375];
  const noise = Buffer.alloc(width * height * 3);
  for (let i = 0; i < 300; i++) {
    const folder = join(dir, i < 280 ? 'train' : 'val', `class${i % 10}`);
    if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
    let state = i + 1;
    for (let at = 0; at < noise.length; at++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const [x, y] = [Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
      const ground = 128 + 90 * Math.sin((x + 3 * i) / 37) * Math.cos(y / 23);
      const edge = ((x * x) / 90 + (y * y) / 60) % 200 < 60 ? 35 : 0;
      noise[at] = Math.max(0, Math.min(255, ground + edge + (state >>> 27)));
    }
    const jpeg = sharp(noise, { raw: { width, height, channels: 3 } }).jpeg({ quality: 92 });
    writeFileSync(join(folder, `${i}.jpg`), await jpeg.toBuffer());
  }
  return dir;
}
