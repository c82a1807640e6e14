// What licenses and repositories of the hub may be called, and how our own folders are known there. Needs nothing else, so
// that options are checked at once.
import { UsageError } from './errors.js';

/** Of config.json: from what this project would build the model, which other programs' files do not have. */
export const hubConfigKey = 'mamba_prune';

/** @throws UsageError for what no license on the hub is called */
export function checkLicense(where: string, license: string): void {
  if (/^[a-z0-9][a-z0-9.+-]*$/.test(license)) return;
  throw new UsageError(
    `${where}: got '${license}', expected a license as the hub spells it, such as mit, apache-2.0, cc-by-4.0 or other.`,
  );
}

/** @throws UsageError for what no repository can be called */
export function checkRepo(where: string, repo: string): void {
  if (/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(repo)) return;
  throw new UsageError(`${where}: got '${repo}', expected owner/name, as on the hub.`);
}
