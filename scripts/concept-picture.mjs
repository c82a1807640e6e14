// Draws the concept picture of pruning: one channel k in every matrix of a Mamba block, before and after a cut.
//
//     node scripts/concept-picture.mjs            writes docs/images/pruning.svg and pruning.zh-CN.svg
//     node scripts/concept-picture.mjs FOLDER     writes them there
//
// The drawing is schematic (ten channels stand for 384); the sizes in it are computed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { words } from './concept-picture/words.mjs';
import { style } from './concept-picture/style.mjs';
import { readFlags } from './script-flags.mjs';

/** A block of mamba_small, and the share of its channels that the cut removes. */
const sizes = { dModel: 192, dInner: 384, dState: 16, dConv: 4, dtRank: 12, rate: 0.7 };
const keptChannels = Math.round((1 - sizes.rate) * sizes.dInner);

/** The drawn channels: three of ten stay. */
const drawn = Array.from({ length: 10 }, (_, channel) => channel);
const kept = [1, 5, 8];
const k = 3;

const cell = 14;
const width = 1000;
const left = { inProj: 126, conv: 226, xProj: 342, dtProj: 496, aLog: 612, d: 690, outProj: 838 };
const scan = { x: 722, width: 56 };
const gateX = 808;

const escapeXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const text = (x, y, content, type = '') =>
  `<text x="${x}" y="${y}"${type ? ` class="${type}"` : ''}>${content}</text>`;
const line = (points, type, end = '') =>
  `<path class="${type}" d="M${points.map((point) => point.join(' ')).join('L')}"${end && ` marker-end="url(#${end})"`}/>`;

/** What a drawn channel is: it stays, it goes, or it is the one that the picture follows. */
const fate = (channel) => (kept.includes(channel) ? 'stay' : channel === k ? 'k' : 'go');

/** A matrix whose rows (or, `across`, columns) are channels; the other dimension has `other` cells. */
function matrix(x, y, channels, other, across = false) {
  const bars = channels.flatMap((channel, index) =>
    Array.from({ length: other }, (_, step) => {
      const [column, row] = across ? [index, step] : [step, index];
      return `<rect class="${fate(channel)}" x="${x + column * cell}" y="${y + row * cell}" width="${cell - 2}" height="${cell - 2}" rx="2"/>`;
    }),
  );
  return bars.join('');
}

function label(x, y, name, size, suffix = '') {
  const rest = suffix && ` <tspan class="plain">${suffix}</tspan>`;
  return text(x, y, `${name}${rest}`, 'name') + text(x, y + 18, size, 'size');
}

/** How many weights of a block belong to its channels. */
function weightsOf(channels) {
  const { dModel, dState, dConv, dtRank } = sizes;
  const eachChannel =
    2 * dModel + (dConv + 1) + (dtRank + 2 * dState) + (dtRank + 1) + dState + 1 + dModel;
  return channels * eachChannel;
}

/**
 * The matrices of a block on one line, and the way of one channel through them.
 * @param {number} top - where the rows of the first matrix begin
 * @param {number[]} channels - those drawn
 * @param {number} followed - the channel whose way is drawn
 * @param {number} count - how many channels the drawn ones stand for
 */
function block(top, channels, followed, count, word) {
  const { dModel, dState, dConv, dtRank } = sizes;
  const tall = channels.length * cell;
  const at = channels.indexOf(followed);
  const middle = at * cell + cell / 2 - 1;
  const gateTop = top + tall + 14;
  const row = top + middle;
  const gateRow = gateTop + middle;
  const xProjTop = top + tall + 26;
  // Below the gate's rows, and below what stands under x_proj.
  const bottom = Math.max(gateTop + tall, xProjTop + 3 * cell + 40) + 20;
  const outProjTop = row + 26;
  const isCut = fate(followed) === 'k';
  const way = isCut ? 'way way-k' : 'way';
  const tip = isCut ? 'tip-k' : 'tip';
  const xProjColumn = left.xProj + middle;
  const outProjColumn = left.outProj + middle;
  const scanMiddle = scan.x + scan.width / 2;
  const turn = left.inProj + 5 * cell + 12;
  const xProjRight = left.xProj + tall + 4;
  return [
    // What x_proj makes of all channels: the step sizes, and B and C for the scan.
    line([[xProjRight, xProjTop + 6], [left.dtProj + 13, xProjTop + 6], [left.dtProj + 13, top + tall + 6]], 'flow', 'tip-flow'), // prettier-ignore
    line([[xProjRight, xProjTop + 20], [scanMiddle, xProjTop + 20], [scanMiddle, row + 18]], 'flow', 'tip-flow'), // prettier-ignore
    line([[xProjRight, xProjTop + 34], [scanMiddle, xProjTop + 34], [scanMiddle, row + 18]], 'flow'), // prettier-ignore
    // The channel's own way: its row in one matrix after the other, and its columns where it is read.
    line(
      [
        [left.inProj, row],
        [scan.x - 3, row],
      ],
      way,
      tip,
    ),
    line(
      [
        [xProjColumn, row],
        [xProjColumn, xProjTop - 4],
      ],
      way,
      tip,
    ),
    line([[left.inProj, gateRow], [turn, gateRow], [turn, bottom], [gateX, bottom], [gateX, row + 15]], way, tip), // prettier-ignore
    line(
      [
        [scan.x + scan.width, row],
        [gateX - 14, row],
      ],
      way,
      tip,
    ),
    line(
      [
        [gateX + 12, row],
        [outProjColumn, row],
        [outProjColumn, outProjTop - 4],
      ],
      way,
      tip,
    ),
    `<rect class="step" x="${scan.x}" y="${row - 15}" width="${scan.width}" height="30" rx="15"/>`,
    text(scanMiddle, row + 5, word.scan, 'middle'),
    `<circle class="step" cx="${gateX}" cy="${row}" r="12"/>`,
    text(gateX, row + 6, '×', 'middle times'),
    matrix(left.inProj, top, channels, 5),
    matrix(left.inProj, gateTop, channels, 5),
    matrix(left.conv, top, channels, 4),
    matrix(left.conv + 4 * cell + 6, top, channels, 1),
    matrix(left.xProj, xProjTop, channels, 3, true),
    matrix(left.dtProj, top, channels, 2),
    matrix(left.dtProj + 2 * cell + 6, top, channels, 1),
    matrix(left.aLog, top, channels, 3),
    matrix(left.d, top, channels, 1),
    matrix(left.outProj, outProjTop, channels, 5, true),
    text(gateX - 12, bottom - 8, word.gate, 'row'),
    label(left.inProj, top - 30, 'in_proj', `${2 * count} × ${dModel}`),
    label(left.conv, top - 30, 'conv1d', `${count} × 1 × ${dConv}`, word.bias),
    label(left.xProj, xProjTop + 3 * cell + 20, 'x_proj', `${dtRank + 2 * dState} × ${count}`),
    label(left.dtProj, top - 30, 'dt_proj', `${count} × ${dtRank}`, word.bias),
    label(left.aLog, top - 30, 'A_log', `${count} × ${dState}`),
    label(left.d, top - 30, 'D', `${count}`),
    label(left.outProj, outProjTop + 5 * cell + 20, 'out_proj', `${dModel} × ${count}`),
    text(left.xProj - 8, xProjTop + 11, 'δ', 'row'),
    text(left.xProj - 8, xProjTop + 25, 'B', 'row'),
    text(left.xProj - 8, xProjTop + 39, 'C', 'row'),
    ...(isCut
      ? [
          text(left.inProj - 10, row + 5, word.row, 'row mark'),
          text(left.inProj - 10, gateRow + 5, word.gateRow(count), 'row mark'),
          text(xProjColumn + 10, xProjTop - 10, word.column, 'mark'),
          text(outProjColumn + 10, outProjTop - 10, word.column, 'mark'),
        ]
      : []),
  ].join('\n');
}

/** A square of a colour, and what the colour means. */
const key = (x, y, type, meaning) =>
  `<rect class="${type}" x="${x}" y="${y - 11}" width="${cell - 2}" height="${cell - 2}" rx="2"/>${text(x + 19, y, meaning)}`;

/** @param {keyof typeof words} language */
export function conceptPicture(language) {
  const word = words[language];
  const beforeTop = 192;
  const afterTop = 634;
  const height = 824;
  const [before, after] = [weightsOf(sizes.dInner), weightsOf(keptChannels)];
  const marker = (id) =>
    `<marker id="${id}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="${id}" d="M0 0L8 4L0 8z"/></marker>`;
  const heading = (y, title, rest) =>
    text(40, y, `<tspan class="title">${title}</tspan><tspan dx="10">${rest}</tspan>`, 'heading');
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title about" lang="${language}">`,
    `<title id="title">${escapeXml(word.title)}</title>`,
    `<desc id="about">${escapeXml(word.about(sizes.dInner, keptChannels))}</desc>`,
    `<style>${style}</style>`,
    `<defs>${['tip', 'tip-k', 'tip-flow'].map(marker).join('')}</defs>`,
    `<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    text(40, 46, escapeXml(word.title), 'top'),
    key(40, 82, 'k', word.followed),
    key(word.keys[0], 82, 'go', word.goes),
    key(word.keys[1], 82, 'stay', word.stays),
    heading(122, word.before, word.schematic(drawn.length, sizes.dInner)),
    block(beforeTop, drawn, k, sizes.dInner, word),
    line([[40, 530], [width - 40, 530]], 'rule'), // prettier-ignore
    heading(566, word.after, word.remains(keptChannels, sizes.dInner, after, before)),
    block(afterTop, kept, kept[1], keptChannels, word),
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}

/** File names of the pictures by language. */
export const files = { en: 'pruning.svg', 'zh-CN': 'pruning.zh-CN.svg' };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { positionals } = readFlags({}, { most: 1, what: 'one folder at most' });
  const [folder = fileURLToPath(new URL('../docs/images', import.meta.url))] = positionals;
  mkdirSync(folder, { recursive: true });
  for (const [language, name] of Object.entries(files)) {
    writeFileSync(join(folder, name), conceptPicture(language));
  }
}
