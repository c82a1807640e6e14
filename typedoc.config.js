import { entryPoints } from './scripts/entry-points.mjs';

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'mamba-prune',
  // What is internal is for the other packages of this repository.
  entryPoints: entryPoints()
    .filter(({ name }) => !name.endsWith('/internal'))
    .map(({ source }) => source),
  tsconfig: 'tsconfig.eslint.json',
  // The check "types" reports errors of types; here they would hide what the reference lacks.
  skipErrorChecking: true,
  out: 'docs/api',
  readme: 'none',
  excludePrivate: true,
  excludeInternal: true,
  disableSources: true,
  treatWarningsAsErrors: true,
  logLevel: 'Warn',
};
