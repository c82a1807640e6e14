// What the data of a run are called for people.
import { basename, resolve } from 'node:path';

/** The name of the data set, and of images in a folder of one's own that of the folder too: `folder flowers`. */
export const dataLabel = ({
  dataset,
  data,
}: {
  readonly dataset: string;
  readonly data?: string | undefined;
}): string =>
  dataset === 'folder' && data !== undefined ? `${dataset} ${basename(resolve(data))}` : dataset;
