// What is written from the cards: the index, a page for each model, and the table of the pages that list them. Prettier
// formats all of it, so that formatting the repository changes nothing.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytes, count, percent } from 'mamba-prune/format';
import { format, resolveConfig } from 'prettier';

/** Of this package. */
export const ownFolder = fileURLToPath(new URL('..', import.meta.url));
const root = join(ownFolder, '..', '..');

/** @param {string} name such as `cifar10/mamba_small-90` */
export const cardPath = (name, folder = ownFolder) => join(folder, 'files', `${name}.json`);

export const writeCard = async (card, folder = ownFolder) =>
  writeFormatted(cardPath(card.name, folder), JSON.stringify(card));

/** All cards, by data set, then from the model of most MACs to that of fewest. */
function readCards(folder) {
  const path = join(folder, 'files');
  const files = existsSync(path) ? readdirSync(path, { recursive: true }).map(String) : [];
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(join(folder, 'files', file), 'utf8')))
    .sort(
      (a, b) =>
        a.dataset.localeCompare(b.dataset, 'en', { numeric: true }) ||
        b.macs - a.macs ||
        a.name.localeCompare(b.name, 'en', { numeric: true }),
    );
}

/**
 * What the pages should be, by their paths.
 * @returns {Promise<Map<string, string>>}
 */
export async function pages(folder = ownFolder) {
  const cards = readCards(folder);
  const table = tableOf(cards);
  const texts = new Map([
    [join(folder, 'index.json'), JSON.stringify({ format: 1, models: cards.map(entryOf) })],
    ...cards.map((card) => [join(folder, 'files', `${card.name}.md`), pageOf(card)]),
    ...tablePages(folder).map((path) => [path, withTable(path, table)]),
  ]);
  const formatted = [...texts].map(async ([path, text]) => [path, await formattedFor(path, text)]);
  return new Map(await Promise.all(formatted));
}

/** A collection of one's own has none. */
const tablePages = (folder) =>
  folder === ownFolder ? [join(folder, 'README.md'), join(root, 'docs', 'models.md')] : [];

/** Writes those that have changed. */
export async function writePages(folder = ownFolder) {
  for (const [path, text] of await changedPages(folder)) {
    writeFileSync(path, text);
    console.log(`${relative(root, path)}: written`);
  }
}

/** Those that are not what the cards say, with what they should be. */
export async function changedPages(folder = ownFolder) {
  return [...(await pages(folder))].filter(
    ([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text,
  );
}

async function writeFormatted(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, await formattedFor(path, text));
}

const formattedFor = async (path, text) =>
  format(text, { ...(await resolveConfig(join(root, 'package.json'))), filepath: path });

/** What the program reads of a card. */
function entryOf(card) {
  const { name, file, arch, dataset, classes, input, pruning, parameters, macs } = card;
  const { accuracy, dtype, bytes: size, sha256 } = card;
  return {
    name,
    file,
    card: `files/${name}.json`,
    arch,
    dataset,
    classes: classes.length,
    imageSize: input.imageSize,
    channels: input.channels,
    pruning: pruning && { method: pruning.method, rates: pruning.rates },
    parameters,
    macs,
    accuracy,
    dtype,
    bytes: size,
    sha256,
  };
}

const begin = '<!-- table of the models: node packages/models/scripts/write-pages.mjs -->';
const end = '<!-- end of the table -->';

/** The page with the table in place of the one that it has. @throws Error if it has no place for one */
function withTable(path, table) {
  const text = readFileSync(path, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) {
    throw new Error(
      `${relative(root, path)} has no place for the table, expected the lines '${begin}' and '${end}'.`,
    );
  }
  return `${text.slice(0, from)}${begin}\n\n${table}\n\n${text.slice(to)}`;
}

function tableOf(cards) {
  const rows = cards.map((card) => [
    `\`models:${card.name}\``,
    card.dataset,
    percent(card.accuracy),
    count(card.parameters),
    count(card.macs),
    bytes(card.bytes),
  ]);
  return markdownTable(['model', 'data', 'accuracy', 'parameters', 'MACs', 'file'], rows);
}

const markdownTable = (head, rows) =>
  [head, head.map((_, i) => (i < 2 ? '---' : '---:')), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

function pageOf(card) {
  const { name, arch, images, accuracy, top5, formats, dtype, input, classes, pruning } = card;
  const { training, licence, notes, subset } = card;
  const facts = [
    ['architecture', arch],
    ['data', `[${licence.data.title}](${licence.data.source})`],
    ['accuracy', `${percent(accuracy)} of ${images} test images, with the weights of the file`],
    ...(top5 === null ? [] : [['among the five likeliest', percent(top5)]]),
    ['parameters', count(card.parameters)],
    ['MACs for one image', count(card.macs)],
    ['file', `${bytes(card.bytes)}, matrices in ${dtype}, all else in float32`],
    ['SHA-256', `\`${card.sha256}\``],
    [
      'input',
      `${input.channels} x ${input.imageSize} x ${input.imageSize}, mean ${input.mean.join(', ')}, std ${input.std.join(', ')}`,
    ],
    ['pruned', prunedText(pruning)],
  ];
  const measured = Object.keys(formats.accuracy).map((format) => [
    format,
    percent(formats.accuracy[format]),
    formats.loss[format].toFixed(5),
  ]);
  return [
    `# ${name}`,
    ...notes.map((note) => `> ${note}`),
    markdownTable(['', ''], facts),
    `    npx mamba-prune predict models:${name} picture.jpg`,
    '## How it was made',
    ...training.commands.map((command) => `    ${command}`),
    `Seed ${training.seed}, mamba-prune ${training.versions.mambaPrune}, libtorch ${training.versions.libtorch}. The options that the ` +
      `last command did not name are in [${name.split('/').at(-1)}.json](${name.split('/').at(-1)}.json).`,
    '## Number formats',
    `${originText(formats.loss)}, on ${images} test images:`,
    markdownTable(['format', 'accuracy', 'loss'], measured),
    `On the CPU in float32 the model of the file is right on ${subset.right} of ${subset.images} test images, as many of each class, which the ` +
      'tests count again.',
    '## Classes',
    `${classes.length}: ${classes.join(', ')}.`,
    '## Licence',
    `The weights are under the licence ${licence.weights}. Of the data: ${licence.data.licence}`,
  ].join('\n\n');
}

/** Weights that 16 bits hold exactly were rounded before: their loss is the same in all its digits. */
function originText(loss) {
  const before = Object.keys(loss).find(
    (format) => format !== 'float32' && loss[format] === loss.float32,
  );
  return before === undefined
    ? 'The same weights as they came out of the run, and rounded to 16 bits'
    : `The matrices had been rounded to ${before} before they were measured, so that the row of float32 is of the same numbers`;
}

function prunedText(pruning) {
  if (pruning === null) return 'no, it is dense';
  const rates = Object.entries(pruning.rates).map(
    ([kind, rate]) => `${percent(rate, 0)} of the ${kind} units`,
  );
  const { before, method, rounds } = pruning;
  const was =
    before.accuracy === null
      ? ''
      : ` and ${percent(before.accuracy)} accuracy on ${before.images} test images`;
  return (
    `${rates.join(', ')}, by ${method} in ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; the dense model had ` +
    `${count(before.parameters)} parameters, ${count(before.macs)} MACs${was}`
  );
}
