// How the program is called, for lines that somebody is to type: as `mamba-prune` where a global installation put it on the
// path, and by `npx mamba-prune` in a project, in a clone, and wherever nobody knows.
import { basename, dirname, sep } from 'node:path';

const name = 'mamba-prune';

/** @param script - that Node.js was started with */
export function programWords(script: string | undefined = process.argv[1]): readonly string[] {
  if (script === undefined || basename(script) !== name) return ['npx', name];
  // What npm puts there is on the path of npx and of scripts alone.
  const isOfProject = dirname(script).endsWith(`node_modules${sep}.bin`);
  return isOfProject ? ['npx', name] : [name];
}

/** Commands in a text, as they are typed here: `mamba-prune train` is `npx mamba-prune train` in a project. */
export function asTyped(text: string, script?: string): string {
  const [first = name] = programWords(script);
  if (first === name) return text;
  return text.replaceAll(commands, `${first} ${name} `);
}

/** What is no command, such as the name of the package, has no such word behind it, and usage lines have their own word before. */
const commands = new RegExp(
  `(?<![\\w@/.-]|npx |Usage: )${name} (?=(?:(?:${[
    'quickstart|train|prune|imp|sensitivity|eval|predict|inspect|bench',
    'compare|export|push|report|studio|models|data|help',
  ].join('|')})\\b(?!:))|--help)`,
  'g',
);
