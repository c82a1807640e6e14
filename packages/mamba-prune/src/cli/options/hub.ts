// What the folder of a model for the Hugging Face Hub says of it.
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { checkLicense, checkRepo } from '../../hub-names.js';

export interface HubFlags {
  readonly license?: string;
  readonly repo?: string;
}

export const licenseOption = (): Option =>
  new Option(
    '--license <name>',
    "the model's license as the hub spells it, such as mit or apache-2.0 (default: unknown)",
  );

export function addHubOptions(command: Command): void {
  command.optionsGroup('Hugging Face Hub:');
  command.addOption(licenseOption());
  command.addOption(
    new Option(
      '--repo <owner/name>',
      "the repository that the card's examples name (default: OWNER/, and the folder's name)",
    ),
  );
}

/** @throws UsageError for what the hub has no such license or repository of */
export function checkHubOptions({ license, repo }: HubFlags): void {
  if (license !== undefined) checkLicense('--license', license);
  if (repo !== undefined) checkRepo('--repo', repo);
}

/** @throws UsageError naming an option that only the hub's folder has */
export function refuseHubOptions(given: Partial<HubFlags>, format: string): void {
  for (const [name, value] of [
    ['--license', given.license],
    ['--repo', given.repo],
  ] as const) {
    if (value === undefined) continue;
    throw new UsageError(
      `${name}: belongs to --format hf, not ${format}. Leave it out, or give --format hf.`,
    );
  }
}
