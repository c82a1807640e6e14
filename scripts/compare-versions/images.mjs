// Made-up pictures, the same on every machine and for every version: this needs nothing of the project.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const classes = ['left', 'right', 'top'];
const side = 16;

/** In a folder for each part and class; a class is where they are brighter. Two more of other shapes in `others`. */
export function writeImages(folder) {
  const random = generator(1);
  for (const [part, count] of [
    ['train', 24],
    ['test', 10],
  ]) {
    for (const [label, name] of classes.entries()) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        writePicture(join(folder, part, name, `${i}.ppm`), side, side, label, random);
      }
    }
  }
  mkdirSync(join(folder, '..', 'others'));
  writePicture(join(folder, '..', 'others', 'wide.ppm'), 40, 21, 0, random);
  writePicture(join(folder, '..', 'others', 'high.ppm'), 11, 33, 2, random);
}

function writePicture(path, width, height, label, random) {
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    const isBright = [x < width / 2, x >= width / 2, y < height / 2][label];
    pixels[i] = Math.floor(random() * 190) + (isBright ? 60 : 0);
  }
  writeFileSync(path, Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), pixels]));
}

/** Mulberry32. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
