// What licenses, repositories of the hub and published weights may be called, and how our own folders are known there. Needs nothing else, so
// that options are checked at once.
import { UsageError } from './errors.js';

/** Of config.json: from what this project would build the model, which other programs' files do not have. */
export const hubConfigKey = 'mamba_prune';

/** What stands before the name of published weights. */
const publishedPrefix = 'pretrained:';

/** Whether an argument names published weights, rightly spelled or not. */
export const isPublishedName = (text: string): boolean => text.startsWith(publishedPrefix);

/** What is typed for them. */
export const publishedArgument = ({ name }: { readonly name: string }): string =>
  publishedPrefix + name;

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
