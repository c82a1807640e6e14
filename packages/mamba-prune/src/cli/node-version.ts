// Which versions of Node.js the program runs on. Imports nothing: an older one cannot even read the other files.

/** As `engines` in package.json. */
export const nodeVersions = '>=20.15 <21 || >=22.2';

/** @param version - such as 20.15.0; @returns what is wrong with it, as a sentence for the user */
export function nodeProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if ((major === 20 && minor >= 15) || (major === 22 && minor >= 2) || major > 22) return undefined;
  return (
    `this is Node.js ${version}, expected Node.js 20.15 or a later 20, or 22.2 or later. ` +
    'Install one of these (https://nodejs.org/en/download, or your version manager), and give the command again.'
  );
}
