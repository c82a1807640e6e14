// Where the hub is and with which token one asks it: what was given, else what the environment or `hf auth login` says.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HUB_URL } from '@huggingface/hub';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import type { HubPlace } from './errors.js';

/** What nobody gives is found out. */
interface GivenPlace {
  readonly endpoint?: string | undefined;
  readonly token?: string | undefined;
}

/**
 * @param caller - whose options they are, for errors
 * @throws UsageError for what is no address, or no token of the hub
 */
export function placeOf(caller: string, { endpoint, token }: GivenPlace): HubPlace {
  const base = endpoint ?? nonEmpty(process.env['HF_ENDPOINT']) ?? HUB_URL;
  if (!/^https?:\/\/\S+$/.test(base)) {
    const where = endpoint === undefined ? 'HF_ENDPOINT' : `${caller}: endpoint`;
    throw new UsageError(`${where}: got ${shown(base)}, expected a URL such as ${HUB_URL}.`);
  }
  const key = token ?? nonEmpty(process.env['HF_TOKEN']) ?? storedToken();
  // What is none is not printed: it may be another secret.
  const wrong =
    key === undefined || /^hf_[\x21-\x7e]+$/.test(key)
      ? undefined
      : key.startsWith('hf_')
        ? 'of which no letters follow, or which has blanks, line ends or letters that no token has'
        : "that does not begin with 'hf_'";
  if (wrong !== undefined) {
    const where = token === undefined ? 'HF_TOKEN' : `${caller}: token`;
    throw new UsageError(
      `${where}: got a token ${wrong}, expected one of the hub. ` +
        `${token === undefined ? 'Unset it' : 'Leave it out'} if you need none.`,
    );
  }
  return { endpoint: base.replace(/\/+$/, ''), token: key };
}

/** Where `hf auth login` puts it. */
function storedToken(): string | undefined {
  const home = nonEmpty(process.env['HF_HOME']);
  const path =
    nonEmpty(process.env['HF_TOKEN_PATH']) ??
    join(home ?? join(homedir(), '.cache', 'huggingface'), 'token');
  try {
    return nonEmpty(readTextFile(path).trim());
  } catch {
    return undefined;
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
