// What programs ask of the hub. The hub's client comes with the first question: it takes seven megabytes, also of a program that
// asks nothing.
import type { PublishedResult } from './fetch-published.js';
import type { HubOptions, HubResult } from './fetch.js';
import type { PushOptions, PushResult } from './push.js';
import type { HubSpec } from './spec.js';

/**
 * Finds a file of weights on the Hugging Face Hub, downloads it unless the cache has it, and gives its
 * path. The config.json and preprocessor_config.json of the same folder come along, for they tell how images
 * are prepared and what the classes are called. Without a network the last version seen is used, which
 * `onNote` says, as it says which file was taken where the repository has several.
 *
 * @param spec - `hf:owner/name[@revision][:file]`, or its parts
 * @throws UsageError for a spec of another form, or if it is not clear which file is meant; HubError if
 *   the file cannot be had
 */
export async function fetchFromHub(
  spec: string | HubSpec,
  options: HubOptions = {},
): Promise<HubResult> {
  const fetch = await import('./fetch.js');
  return fetch.fetchFromHub(spec, options);
}

/**
 * Downloads the weights of a name, unless the cache has them. It is the cache of the hub, whose options and
 * environment variables hold for weights at other addresses too.
 *
 * @param name - `vim_tiny`, or as the command line has it, `pretrained:vim_tiny`
 * @throws UsageError for a name that there is not; HubError if the file cannot be had, with its address
 */
export async function fetchPublished(
  name: string,
  options: HubOptions = {},
): Promise<PublishedResult> {
  const published = await import('./fetch-published.js');
  return published.fetchPublished(name, options);
}

/**
 * Uploads a folder as one commit. Large contents are sent first, and those that the hub has already are not sent again:
 * after an interruption the same call sends what is missing. Names that begin with a dot are left out. Files of the
 * repository that the folder lacks stay.
 *
 * @param folder - with the files as they shall be in the repository
 * @param repo - `owner/name`
 * @throws UsageError for a folder without files or a name that no repository has; HubError if the hub cannot be reached
 *   or refuses, and then nothing is committed, unless its message says that this is not known
 */
export async function pushToHub(
  folder: string,
  repo: string,
  options: PushOptions = {},
): Promise<PushResult> {
  const push = await import('./push.js');
  return push.pushToHub(folder, repo, options);
}
