// The models of @mamba-prune/models: index, cards and pages say what the files are, and the files classify as many images
// rightly as the cards say.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SafetensorsFile, digestFile } from '@mamba-prune/libtorch/files';
import { type Dataset, evaluateModel, inspectModel, loadModel, openDataset } from 'mamba-prune';
import { boxedModels } from 'mamba-prune/models';
import { describe, expect, it } from 'vitest';
import { factsOf } from '../packages/mamba-prune/src/export/hub-folder/facts.js';
import { runCli } from '../packages/mamba-prune/src/cli/testing/run-cli.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = join(root, 'packages', 'models');
const models = boxedModels();

interface Card {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly accuracy: number;
  readonly parameters: number;
  readonly macs: number;
  readonly classes: readonly string[];
  readonly pruning: { readonly before: { readonly accuracy: number } } | null;
  readonly input: object;
  readonly formats: {
    readonly accuracy: Readonly<Record<string, number>>;
    readonly loss: Readonly<Record<string, number>>;
  };
  readonly subset: { readonly images: number; readonly right: number; readonly pixels: string };
  readonly training: { readonly commands: readonly string[] };
  readonly licence: { readonly weights: string; readonly data: object };
}

const cardOf = (card: string): Card => JSON.parse(readFileSync(join(folder, card), 'utf8')) as Card;

/** The test images of a data set, where they are on this machine; else why not. */
async function imagesOf(name: string, pixels: string): Promise<Dataset | string> {
  const places = [process.env['TEST_DATA'], join(root, 'data')];
  const dir = places.find((place) => place !== undefined && existsSync(place));
  if (dir === undefined) return 'TEST_DATA names no folder with the images, and data/ is not there';
  try {
    const dataset = await openDataset(name, { dir });
    const first = Array.from({ length: 100 }, (_, index) => index);
    const digest = createHash('sha256').update(await dataset.test.read(first));
    // Copies whose images were compressed again have other ones that are right.
    return digest.digest('hex') === pixels ? dataset : `${dir} has other pixels of ${name}`;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the package of trained models', () => {
  it('is the one that the program finds', async () => {
    const { stdout } = await runCli(['models', '--json']);
    const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as {
      models: { name: string }[];
    };
    expect((JSON.parse(stdout) as typeof index).models.map(({ name }) => name)).toEqual(
      index.models.map(({ name }) => name),
    );
  });

  it('has an index, pages and tables that follow from the cards', () => {
    const script = join(folder, 'scripts', 'write-pages.mjs');
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('publishes the models of the index with their cards, and nothing else', () => {
    const output = execFileSync('npm', ['pack', '--dry-run', '--json'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // npm 12 gives an object by name, earlier ones a list.
    const [packed] = Object.values(JSON.parse(output) as object) as [
      { files: { path: string }[]; size: number },
    ];
    const expected = models.flatMap(({ file, card }) => [file, card, card.replace('.json', '.md')]);
    const others = ['LICENSE', 'README.md', 'index.json', 'package.json'];
    expect(packed.files.map(({ path }) => path).sort()).toEqual([...expected, ...others].sort());
    // What everybody downloads who installs it.
    expect(packed.size).toBeLessThan(25e6);
  });

  it('has no file that is of no model', () => {
    const files = readdirSync(join(folder, 'files'), { recursive: true, withFileTypes: true });
    expect(files.filter((file) => file.isFile())).toHaveLength(3 * models.length);
  });
});

describe.each(models)('$name', (entry) => {
  const card = cardOf(entry.card);
  const path = join(folder, entry.file);

  it('is the file that index and card describe', () => {
    const digest = digestFile(path);
    for (const said of [entry, card]) expect(said).toMatchObject(digest);
    expect(card.name).toBe(entry.name);
    const { model, info } = loadModel(`models:${entry.name}`);
    const { arch, parameters, macs, input } = inspectModel(model, info);
    model.dispose();
    const facts = { arch, parameters, macs };
    expect(card).toMatchObject({ ...facts, dataset: info.dataset, classes: info.classes });
    const [channels, imageSize] = input;
    const { mean, std, preprocessing } = info;
    expect(card.input).toEqual({ channels, imageSize, mean, std, preprocessing });
    expect(entry).toMatchObject({ ...facts, channels, imageSize, classes: info.classes.length });
  });

  it('says in its file what index and card say of its accuracy, and so does what is exported from it', () => {
    const { model, info } = loadModel(`models:${entry.name}`);
    const { accuracy, denseAccuracy } = factsOf(model, info);
    model.dispose();
    expect([card.accuracy, accuracy]).toEqual([entry.accuracy, entry.accuracy]);
    expect(denseAccuracy).toBe(card.pruning?.before.accuracy);
  });

  it('has 16 bits for each weight of a matrix, and loses little by it', () => {
    const file = SafetensorsFile.open(path);
    const formats = new Set(file.names().map((name) => file.info(name).dtype));
    file.close();
    expect([...formats].sort()).toEqual([entry.dtype === 'float16' ? 'F16' : 'BF16', 'F32']);
    expect(card.accuracy).toBe(card.formats.accuracy[entry.dtype]);
    // Rounding moves what is on the edge, to either side: more than half a point would be something else.
    expect(Math.abs(card.accuracy - (card.formats.accuracy['float32'] ?? NaN))).toBeLessThan(0.005);
  });

  it('says so where the weights had been rounded before float32 was measured', () => {
    const { float32, ...rounded } = card.formats.loss;
    const before = Object.values(rounded).some((loss) => loss === float32);
    const page = readFileSync(join(folder, entry.card.replace('.json', '.md')), 'utf8');
    expect(page.includes('as they came out of the run')).toBe(!before);
  });

  it('says how it was made and on what terms, and names no place of the machine that made it', () => {
    expect(card.training.commands.length).toBeGreaterThan(0);
    for (const command of card.training.commands) expect(command).toMatch(/^mamba-prune [a-z]+ /);
    expect(card.licence).toMatchObject({
      weights: 'MIT',
      data: { source: expect.any(String) as string },
    });
    const file = SafetensorsFile.open(path);
    const { metadata } = file;
    file.close();
    for (const text of [JSON.stringify(metadata), JSON.stringify(card)]) {
      expect(text).not.toMatch(/(?:^|[\s"'=])\/(?:home|root|tmp|work|mnt|data)\b/);
    }
  });

  it('classifies as many test images rightly as its card says', async (test) => {
    const { images, right, pixels } = card.subset;
    const dataset = await imagesOf(entry.dataset, pixels);
    if (typeof dataset === 'string') {
      test.skip(dataset);
      return;
    }
    const { model } = loadModel(`models:${entry.name}`);
    const result = await evaluateModel(model, dataset, {
      images,
      device: 'cpu',
      precision: 'fp32',
    });
    model.dispose();
    expect(result.images).toBe(images);
    // Other instruction sets and numbers of threads add in another order. That moves logits by some 1e-5 and turns an
    // image whose two likeliest classes are as near as that: hardly ever one, never four of some hundreds. A wrong
    // normalisation, or weights that were rounded wrongly, costs tens.
    expect(Math.abs(Math.round(result.accuracy * images) - right)).toBeLessThanOrEqual(3);
  });
});
