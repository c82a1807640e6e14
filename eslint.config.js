import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// What Node offers without an import, as far as our scripts use it.
const nodeGlobals = [
  'AbortController',
  'AbortSignal',
  'Buffer',
  'TextDecoder',
  'TextEncoder',
  'URL',
  'clearInterval',
  'clearTimeout',
  'console',
  'fetch',
  'performance',
  'process',
  'setImmediate',
  'setInterval',
  'setTimeout',
  'structuredClone',
];

// Folders whose classes and lists are in the house's one form; `packages/*/src` when all are.
const inHouseStyle = [
  'packages/*/src/**/*.ts',
  'packages/report/page/**/*.{ts,tsx}',
  'examples/*/src/**/*.ts',
];

const houseStyle = [
  {
    selector:
      ':matches(PropertyDefinition, MethodDefinition[kind!="constructor"], AccessorProperty, TSAbstractMethodDefinition, ' +
      'TSAbstractPropertyDefinition)[accessibility="private"]',
    message: 'A private member is named with #.',
  },
  {
    selector: 'TSParameterProperty',
    message: 'Declare the field in the class and assign it in the constructor.',
  },
  {
    selector:
      ':matches(ArrayExpression, CallExpression, NewExpression) > SpreadElement > ArrayExpression',
    message: 'List the elements themselves.',
  },
  {
    selector: 'ObjectExpression > SpreadElement > ObjectExpression',
    message: 'List the properties themselves.',
  },
  {
    selector: 'TSTupleType > TSRestType > TSTupleType',
    message: 'List the types themselves.',
  },
  {
    selector:
      ':matches(Program, Program > ExportNamedDeclaration) > VariableDeclaration[kind="const"] > ' +
      'VariableDeclarator > Identifier.id[name=/^[A-Z][A-Z0-9]+(_[A-Z0-9]+)*$/]',
    message: 'A constant is named in camelCase.',
  },
];

export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      '**/build/',
      '**/node_modules/',
      'packages/libtorch/src/generated/',
      'runs/',
      'data/',
      '.cache/',
      '.gpu/',
      'docs/api/',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: [
          './tsconfig.eslint.json',
          './packages/report/page/tsconfig.json',
          './examples/browser/tsconfig.json',
        ],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Numbers in messages are what our error texts are made of.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  {
    files: inHouseStyle,
    rules: { 'no-restricted-syntax': ['error', ...houseStyle] },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(nodeGlobals.map((name) => [name, 'readonly'])),
    },
  },
);
