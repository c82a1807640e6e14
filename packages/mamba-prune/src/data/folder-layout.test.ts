import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { folderSpec } from './datasets/folder.js';
import { DataError } from './errors.js';
import { Findings } from './folder-findings.js';
import { findImages } from './folder-layout.js';
import { imagesBelow } from './folder-walk.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-layout-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const nfc = 'caf\u00e9';
const nfd = 'cafe\u0301';

/** Layouts are told by names alone: the files are empty. */
function touch(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), '');
  }
}

/** cat and dog, one image each, in both parts. */
function twoClasses(...parts: string[]): void {
  for (const part of parts) touch(`${part}/cat/0.png`, `${part}/dog/0.png`);
}

const find = (at = dir) => findImages(folderSpec, at);
/** What a note says of files in the data set's folder, whatever that is called. */
const notes = () => find().notes.map((note) => note.replaceAll(`${dir}/`, ''));

describe('findImages, of one class', () => {
  beforeEach(() => {
    twoClasses('train', 'val');
  });

  it('reads folders below a class in the order of torchvision', () => {
    touch(
      'train/cat/sub/b.png',
      'train/cat/sub/a.png',
      'train/cat/sub/deep/er/1.png',
      'train/cat/sub-2/0.png',
    );
    const { train } = find();
    // sorted(os.walk(...)): by the folder's whole path, so that sub-2 comes before sub/deep.
    expect(train.paths).toEqual([
      'train/cat/0.png',
      'train/cat/sub/a.png',
      'train/cat/sub/b.png',
      'train/cat/sub-2/0.png',
      'train/cat/sub/deep/er/1.png',
      'train/dog/0.png',
    ]);
    expect(train.labels).toEqual([0, 0, 0, 0, 0, 1]);
    expect(notes()).toEqual([]);
  });

  it('reads what lies beside a folder called images', () => {
    touch('train/cat/images/x.png', 'train/cat/cat_boxes.txt');
    expect(find().train.paths).toEqual([
      'train/cat/0.png',
      'train/cat/images/x.png',
      'train/dog/0.png',
    ]);
    expect(notes()).toEqual([]);
  });

  it('counts endings in capitals', () => {
    touch('train/dog/A.PNG', 'train/dog/B.Jpeg');
    expect(find().train.paths).toHaveLength(4);
  });

  it('follows links, and those round in a circle once', () => {
    touch('elsewhere/far.png');
    symlinkSync(join(dir, 'elsewhere'), join(dir, 'train/cat/linked'));
    symlinkSync(join(dir, 'elsewhere/far.png'), join(dir, 'train/cat/z.png'));
    symlinkSync('..', join(dir, 'train/cat/up'));
    symlinkSync('.', join(dir, 'train/cat/self'));
    symlinkSync('/', join(dir, 'train/dog/everything'));
    symlinkSync('nowhere', join(dir, 'train/dog/lost'));
    symlinkSync('knot', join(dir, 'train/dog/knot'));
    expect(find().train.paths).toEqual([
      'train/cat/0.png',
      'train/cat/z.png',
      'train/cat/linked/far.png',
      'train/dog/0.png',
    ]);
    const [broken, loops] = notes();
    expect(broken).toBe('folder: ignored 2 links to nothing, such as train/dog/knot.');
    expect(loops).toMatch(
      /^folder: ignored 3 folders that links lead to a second time, such as train\/cat\/(up|self)\.$/,
    );
  });

  it('names a folder that is gone since it was listed', () => {
    const walk = (): unknown => imagesBelow('here', dir, ['train/bird'], new Findings());
    expect(walk).toThrow(DataError);
    expect(walk).toThrow(`here: ${join(dir, 'train/bird')} cannot be read (ENOENT: `);
  });

  it('does not take for ever where links multiply the ways to a folder', () => {
    for (let i = 0; i < 30; i++) {
      mkdirSync(join(dir, `level${i}`));
      for (const name of ['a', 'b'])
        symlinkSync(join(dir, `level${i + 1}`), join(dir, `level${i}/${name}`));
    }
    touch('level30/x.png');
    symlinkSync(join(dir, 'level0'), join(dir, 'train/cat/deep'));
    expect(find().train.paths).toHaveLength(3);
  });

  it('passes over what systems leave behind, without a word', () => {
    touch(
      'train/cat/.DS_Store',
      'train/cat/._0.png',
      'train/cat/Thumbs.db',
      'train/dog/desktop.ini',
    );
    touch(
      'train/__MACOSX/cat/._0.png',
      'train/.ipynb_checkpoints/0-checkpoint.png',
      '__MACOSX/train/x.png',
    );
    touch(
      'train/cat/.ipynb_checkpoints/0-checkpoint.png',
      'train/.gitkeep',
      'val/@eaDir/x.png',
      'train/._cat',
    );
    const { folders, train } = find();
    expect(folders).toEqual(['cat', 'dog']);
    expect(train.paths).toHaveLength(2);
    expect(notes()).toEqual([]);
  });

  it('names hidden images and folders', () => {
    touch('train/.old/0.png', 'train/cat/.trashed-1.png');
    expect(find().folders).toEqual(['cat', 'dog']);
    expect(notes()).toEqual(['folder: ignored 2 hidden images and folders, such as train/.old.']);
  });

  it('counts files of formats that are not read, by format and class', () => {
    touch(
      'train/cat/a.heic',
      'train/cat/b.HEIC',
      'val/dog/c.svg',
      'train/x.mp4',
      'train/dog/notes.txt',
    );
    expect(notes()).toEqual([
      'folder: ignored 4 files of formats that are not read: 1 .mp4, 2 .heic, 1 .svg (1 in train, 2 in train/cat, ' +
        '1 in val/dog), such as train/x.mp4. Convert them to JPEG or PNG.',
      'folder: ignored 1 file that is no image, train/dog/notes.txt.',
    ]);
  });

  it('says which classes hold only such', () => {
    touch('train/bird/a.avif', 'train/bird/b.avif');
    mkdirSync(join(dir, 'train/fish'));
    expect(find).toThrow(
      `found no images in ${dir}/train/bird (2 .avif, which are formats that are not read); ${dir}/train/fish, expected`,
    );
    expect(find).toThrow(
      'Fill or delete these class folders, or convert what they hold to JPEG or PNG.',
    );
  });
});

describe('findImages, of class names', () => {
  it('takes both spellings of an accent for one, in train and val', () => {
    touch(`train/${nfc}/0.png`, 'train/cafz/0.png', `val/${nfd}/0.png`, 'val/cafz/0.png');
    expect(find().folders).toEqual(['cafz', nfc]);
    expect(find().test).toEqual({ paths: ['val/cafz/0.png', `val/${nfd}/0.png`], labels: [0, 1] });
    expect(notes()).toEqual([]);
  });

  it('puts two spellings in one part together, and says so', () => {
    touch(
      `train/${nfc}/0.png`,
      `train/${nfd}/1.png`,
      'train/dog/0.png',
      `val/${nfc}/0.png`,
      'val/dog/0.png',
    );
    expect(find().train).toEqual({
      paths: [`train/${nfd}/1.png`, `train/${nfc}/0.png`, 'train/dog/0.png'],
      labels: [0, 0, 1],
    });
    expect(notes()).toEqual([
      `folder: train/${nfc} is there in two spellings (Unicode NFC and NFD), which are read as one class.`,
    ]);
  });

  it('sorts by code points, as Python does', () => {
    const names = ['\u{1f600}', '\uff21', 'a', 'Z', '\u00e9', '10', '9'];
    for (const name of names) touch(`train/${name}/0.png`, `val/${name}/0.png`);
    expect(find().folders).toEqual(['10', '9', 'Z', 'a', '\u00e9', '\uff21', '\u{1f600}']);
  });

  it('refuses names that are no UTF-8, naming them with their bytes', () => {
    twoClasses('train', 'val');
    const latin = (path: string) => Buffer.from(`${dir}/${path}`, 'latin1');
    mkdirSync(latin('train/caf\xe9'));
    writeFileSync(latin('val/dog/\xfc.png'), '');
    expect(find).toThrow(
      `openDataset "folder": the name of 1 image or folder is no UTF-8: ${dir}/train/caf\\xe9. Rename it; where`,
    );
    renameSync(latin('train/caf\xe9'), join(dir, `val/${nfc}`));
    expect(find).toThrow(`${dir}/val/dog/\\xfc.png`);
    renameSync(latin('val/dog/\xfc.png'), latin('val/dog/\xfc.txt'));
    expect(notes()).toEqual(['folder: ignored 1 file that is no image, val/dog/\\xfc.txt.']);
  });
});

describe('findImages, of the parts', () => {
  it('knows the usual names of validation and test', () => {
    twoClasses('train');
    for (const part of ['testing', 'test', 'valid', 'validation', 'val']) {
      twoClasses(part);
      expect(find().test.paths).toEqual([`${part}/cat/0.png`, `${part}/dog/0.png`]);
    }
    expect(notes()).toEqual([
      'folder: the accuracy is measured on val; validation, valid, test, testing are not read.',
    ]);
  });

  it('says that it reads one of two folders of training images', () => {
    twoClasses('train', 'training', 'val');
    expect(notes()).toEqual([
      'folder: the training images are those in train; training is not read.',
    ]);
  });

  it('takes the part that has images, in capitals too', () => {
    twoClasses('Train', 'TEST');
    touch('val/readme.txt');
    const { train, test } = find();
    expect([train.paths[0], test.paths[0]]).toEqual(['Train/cat/0.png', 'TEST/cat/0.png']);
  });

  it('says what is missing where there is only train', () => {
    twoClasses('train');
    expect(find).toThrow(
      `found neither val nor test in ${dir}, expected val/CLASS/IMAGE or test/CLASS/IMAGE beside train ` +
        '(also called validation, valid or testing). Move a part of the images of every class there',
    );
  });

  it('says which classes have nothing to validate with', () => {
    twoClasses('train', 'val');
    rmSync(join(dir, 'val/dog'), { recursive: true });
    const one = 'folder: val has no images of the class dog, so that its accuracy is not measured.';
    expect(notes()).toEqual([one]);
    touch('val/dog/a.heic');
    expect(notes()).toContain(one);
    touch('train/eel/0.png');
    expect(notes()).toContain(
      'folder: val has no images of 2 of the 3 classes, so that their accuracy is not measured: dog, eel.',
    );
  });

  it('refuses a class that train lacks, and knows what it may be called there', () => {
    twoClasses('train', 'val');
    renameSync(join(dir, 'val/dog'), join(dir, 'val/Dog'));
    expect(find).toThrow(
      `${dir}/val/Dog is a class that train does not have. Add it to train or delete it. Did you mean dog?`,
    );
    rmSync(join(dir, 'val/Dog/0.png'));
    expect(find().test.paths).toEqual(['val/cat/0.png']); // an empty folder harms nobody
  });

  it('says which images lie in no class', () => {
    twoClasses('train', 'val');
    touch('train/a.png', 'train/b.png', 'val/c.png');
    expect(notes()).toEqual([
      'folder: ignored 3 images that lie in no class folder, such as train/a.png. ' +
        'Sort them into the folders of their classes.',
    ]);
    rmSync(join(dir, 'train/cat'), { recursive: true });
    rmSync(join(dir, 'train/dog'), { recursive: true });
    expect(find).toThrow(
      `got no class folders in ${dir}/train; 2 images in no class folder, such as ${dir}/train/a.png, expected at least 2`,
    );
  });

  it('reads the folder below that holds train', () => {
    for (const inner of ['dataset', 'ILSVRC/Data/CLS-LOC']) {
      rmSync(join(dir, readdirSync(dir)[0] ?? 'none'), { recursive: true, force: true });
      twoClasses(`${inner}/train`, `${inner}/val`);
      expect(find()).toMatchObject({
        root: join(dir, inner),
        train: { paths: ['train/cat/0.png', 'train/dog/0.png'] },
      });
      expect(find().notes).toEqual([
        `folder: reads ${join(dir, inner)}, the only folder in ${dir} that holds train.`,
      ]);
    }
    twoClasses('b/train', 'c/train');
    expect(find).toThrow(
      `but 2 folders below it that hold one: ${dir}/b, ${dir}/c. Give one of them (\`dir\`).`,
    );
  });

  it('says what a folder without train holds', () => {
    twoClasses('.');
    expect(find).toThrow(
      `found no train in ${dir}, which holds the folders cat, dog; expected train/CLASS/IMAGE`,
    );
    twoClasses('train');
    expect(() => find(join(dir, 'train'))).toThrow(`Give the folder above, ${dir} (\`dir\`).`);
    touch('a.zip');
    expect(() => find(join(dir, 'a.zip'))).toThrow(
      /is a file, expected.*Unpack it, and give the folder that holds train/,
    );
  });
});

describe('findImages, of Tiny-ImageNet', () => {
  beforeEach(() => {
    touch('train/n01/images/n01_0.JPEG', 'train/n02/images/n02_0.JPEG');
    touch('val/images/val_0.JPEG', 'val/images/val_1.JPEG', 'val/val_annotations.txt');
    writeFileSync(join(dir, 'val/val_annotations.txt'), 'val_0.JPEG\tn02\t0\t0\t62\t62\n');
  });

  it('names images that the list of classes leaves out', () => {
    expect(find().test).toEqual({ paths: ['val/images/val_0.JPEG'], labels: [1] });
    expect(notes()).toContain(
      'folder: val_annotations.txt does not name 1 of the images in val/images, such as val_1.JPEG: they are not read.',
    );
  });

  it('says where the list of classes would be, and does not call the images a class', () => {
    rmSync(join(dir, 'val/val_annotations.txt'));
    expect(find).toThrow(
      `${dir}/val/val_annotations.txt does not exist, expected the classes of the images in the folder images beside it.`,
    );
  });

  it('reads val from class folders where somebody has sorted it', () => {
    rmSync(join(dir, 'val/images'), { recursive: true });
    touch('val/n01/images/val_0.JPEG', 'val/n02/images/val_1.JPEG');
    mkdirSync(join(dir, 'val/images'));
    expect(find().test).toEqual({
      paths: ['val/n01/images/val_0.JPEG', 'val/n02/images/val_1.JPEG'],
      labels: [0, 1],
    });
    expect(notes()).toEqual([]);
  });
});
