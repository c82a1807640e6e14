/**
 * Imports run down only, those of types too: libtorch <- mamba-prune <- report, and inside of mamba-prune from room to room
 * as the list says. `npm run check:imports` checks it.
 */
import { readdirSync } from 'node:fs';
import { relative } from 'node:path';
import { entryPoints } from './scripts/entry-points.mjs';
import { root } from './scripts/package-check/tarballs.mjs';

const core = 'packages/mamba-prune/src';

/**
 * The rooms of mamba-prune from the ground up, each with the rooms below that it may import. Everything may import what
 * stands directly in src/ (errors, limits, checks of options) and in files/; nothing imports cli/.
 */
const rooms = {
  files: [],
  preparation: [],
  onnx: [],
  models: ['preparation', 'onnx'],
  data: ['preparation'],
  training: ['models', 'data'],
  pruning: ['models'],
  logging: ['training', 'pruning'],
  export: ['preparation', 'onnx', 'models', 'data', 'training'],
  inference: ['preparation', 'models', 'data', 'training', 'export'],
  bench: ['models', 'data', 'export'],
  hub: ['models'],
};
const lower = Object.keys(rooms);
rooms.workflows = lower;
rooms.cli = [...lower, 'workflows'];

const homeless = readdirSync(`${root}${core}`, { withFileTypes: true }).find(
  // Tests have folders of their own.
  (entry) =>
    entry.isDirectory() && !(entry.name in rooms) && !['fixtures', 'testing'].includes(entry.name),
);
if (homeless) {
  throw new Error(
    `.dependency-cruiser.js: got the folder ${core}/${homeless.name}, expected one of the rooms. Say there what it may import.`,
  );
}

/** Imports that run up all the same: of which room, from which file, to what. */
const exceptions = [
  // RSST works inside of the training loop: it names the types of the loop's hooks, and nothing else of it.
  [
    'pruning',
    'rsst/(hooks|rsst|span|unit-norms)\\.ts',
    'training/(hooks|metrics-lines|step-context)\\.ts',
  ],
  // Entries gather for users what belongs together; nothing in the package imports these two.
  ['training', 'index\\.ts', 'logging/'],
  ['onnx', 'index\\.ts', 'export/'],
  // The type of an evaluation, which stands where models are evaluated.
  ['export', 'accuracy\\.ts', 'inference/evaluate-model\\.ts'],
];

/** @param from files of the room; @param also what these may import beside what the room may */
const runsDown = (room, from, also = []) => ({
  name: `${room}-imports-down`,
  comment: `${room}/ may import ${['files', ...rooms[room]].join(', ')}. What it needs of another room belongs further down, or it further up.`,
  severity: 'error',
  from,
  to: {
    path: `^${core}/[^/]+/`,
    pathNot: [...[room, 'files', ...rooms[room]].map((name) => `${name}/`), ...also].map(
      (path) => `^${core}/${path}`,
    ),
  },
});

const betweenRooms = Object.keys(rooms).flatMap((room) => {
  const own = exceptions
    .filter(([of]) => of === room)
    .map(([, file, to]) => [`^${core}/${room}/${file}$`, to]);
  return [
    runsDown(room, { path: `^${core}/${room}/`, pathNot: own.map(([path]) => path) }),
    ...own.map(([path, to]) => runsDown(room, { path }, [to])),
  ];
});

const families = readdirSync(`${root}${core}/models`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['import', 'layers', 'testing'].includes(entry.name))
  .map((entry) => entry.name);
const ofFamily = `^${core}/models/(${families.join('|')})/`;

/** Files elsewhere that name a family all the same. */
const nameFamilies = [
  // The flags of the original script, which trained Mambas.
  'cli/options/imp\\.ts',
  // Cards of models on the Hub tell a ViT by the names and sizes of timm.
  'models/import/card\\.ts',
];

/** What packages offer each other. */
const entries = entryPoints().map(({ source }) => `^${relative(root, source)}$`);

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'packages-import-down',
      comment: 'libtorch <- mamba-prune <- report.',
      severity: 'error',
      from: { path: '^packages/(libtorch|mamba-prune)/' },
      to: { path: '^packages/(mamba-prune|report)/', pathNot: '^packages/$1/' },
    },
    {
      name: 'packages-use-entries',
      comment: 'What another package needs is exported by an entry, or by mamba-prune/internal.',
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: { path: '^packages/[^/]+/', pathNot: ['^packages/$1/', ...entries] },
    },
    ...betweenRooms,
    {
      name: 'ground-imports-no-room',
      comment:
        'What stands directly in src/ is below all rooms. The entries gather what is above, and so do the types of the package that makes pages.',
      severity: 'error',
      from: { path: `^${core}/[^/]+$`, pathNot: `^${core}/(index|internal|report-package)\\.ts$` },
      to: { path: `^${core}/[^/]+/` },
    },
    {
      name: 'entries-are-for-others',
      comment: 'Inside of the package a file imports the file that has what it needs.',
      severity: 'error',
      from: { path: `^${core}/` },
      to: {
        path: `^${core}/((models|pruning|training|onnx|workflows)/index|index|internal)\\.ts$`,
      },
    },
    {
      name: 'a-family-is-a-folder',
      comment:
        'Only lists of families name one: what the rest of the program has to know of it stands in its Family.',
      severity: 'error',
      from: {
        path: `^${core}/`,
        pathNot: [
          ofFamily,
          `^${core}/models/(families|registry|model-options|index)\\.ts$`,
          `^${core}/index\\.ts$`,
          ...nameFamilies.map((file) => `^${core}/${file}$`),
        ],
      },
      to: { path: ofFamily },
    },
    {
      name: 'families-are-apart',
      comment: 'What several families share stands in models/ or models/layers.',
      severity: 'error',
      from: { path: ofFamily },
      to: { path: ofFamily, pathNot: `^${core}/models/$1/` },
    },
    ...[{ path: '^packages/libtorch/' }, { dependencyTypes: ['core'] }].map((to) => ({
      name: 'preparation-runs-in-browsers',
      comment: 'mamba-prune/preparation needs neither Node.js nor libtorch.',
      severity: 'error',
      from: {
        path: `^${core}/preparation/`,
        pathNot: `^${core}/preparation/(threads|prepare-worker)\\.ts$`,
      },
      to,
    })),
    {
      name: 'pages-run-in-browsers',
      comment: 'Of mamba-prune the page may use what runs in browsers.',
      severity: 'error',
      from: { path: '^packages/report/page/' },
      to: {
        path: ['^packages/libtorch/', `^${core}/`],
        pathNot: `^${core}/(preparation/index|format)\\.ts$`,
      },
    },
    {
      name: 'no-circles',
      comment:
        'Modules that wait for each other while they are loaded. Types do not: a part may name the type of the whole that it belongs to. Nor does what is imported where it is needed.',
      severity: 'error',
      // A tensor has operators as methods, and operators make tensors.
      from: { pathNot: '^packages/libtorch/src/(tensor|dispatch|generated/ops)\\.ts$' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only', 'dynamic-import'] } },
    },
    {
      name: 'imports-are-found',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // Imports of types too, which the compiler removes.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: `${root}tsconfig.eslint.json` },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'browser', 'default', 'types'],
    },
    doNotFollow: { path: 'node_modules' },
    // Tests may use anything.
    exclude: { path: ['\\.test\\.ts$', '/testing/', '/fixtures/', '/dist/'] },
  },
};
