// Why a folder cannot be pushed: what the hub's answers mean, and what to do.
import type { HubApiError } from '@huggingface/hub';
import { passes } from '../files/http-status.js';
import { bytes } from '../format.js';
import { printableLine } from '../printable.js';
import { innermostReasonOf } from '../errors.js';
import { HubError, reasonIn } from './errors.js';

export interface PushPlace {
  readonly repo: string;
  readonly revision: string;
  readonly endpoint: string;
}

/** What was being done: the repository made, contents sent, the commit made. */
export type PushPhase = 'create' | 'upload' | 'commit';

/** The hub answered, but not with what was asked for. */
export function pushRefused(
  place: PushPlace,
  phase: PushPhase,
  error: HubApiError,
  files: readonly { readonly file: string; readonly fileBytes: number }[],
): HubError {
  const { statusCode } = error;
  const { repo, revision, endpoint } = place;
  const said = `${repo}: the hub answered ${statusCode}`;
  const tokens = `${endpoint}/settings/tokens`;
  const [owner = ''] = repo.split('/');
  const made = (text: string): HubError =>
    new HubError(`${said}: ${text} Nothing was committed.`, { cause: error });
  switch (statusCode) {
    case 401:
      return made(
        `it does not know the token. Make a new one at ${tokens}, and set HF_TOKEN to it.`,
      );
    case 403:
      return made(
        phase === 'create'
          ? `the token may not make repositories of ${owner}. Set HF_TOKEN to one of ${tokens} that may write there.`
          : `the token may not write to it. Set HF_TOKEN to one of ${tokens} that may.`,
      );
    case 404:
      return made(
        `there is no such repository, or no branch '${printableLine(revision)}' in it, or the token may not see it. ` +
          `Look at ${endpoint}/${repo}, or let it be made (\`create\`).`,
      );
    case 409:
    case 412:
      return made('somebody else has changed it at the same time. Run the same command again.');
    case 413: {
      const largest = files.reduce((a, b) => (a.fileBytes >= b.fileBytes ? a : b));
      return made(
        `a file is too large for it; the largest is ${printableLine(largest.file)} with ${bytes(largest.fileBytes)}. ` +
          'Take it out of the folder, or store it in fewer bits or parts.',
      );
    }
    case 429:
      return made('it has been asked too much. Try again in some minutes.');
    default:
      if (!passes(statusCode)) return made(`${reasonIn(error)}. Change what it complains of.`);
      // What stands between here and the hub may have given up while the hub did not.
      if (phase === 'commit') return pushBroke(place, phase, `status ${statusCode}`);
      return made('it has troubles of its own. Try again later.');
  }
}

/** Nothing answered, or the connection broke. */
export function pushBroke(
  { repo, revision, endpoint }: PushPlace,
  phase: PushPhase,
  cause: unknown,
): HubError {
  const reason = innermostReasonOf(cause);
  if (phase === 'commit') {
    return new HubError(
      `${repo}: the connection to ${endpoint} broke while the commit was made (${reason}), so that all of it was committed or ` +
        `nothing. Look at ${endpoint}/${repo}/commits/${revision}, and run the same command again if it is not there.`,
      { cause },
    );
  }
  return new HubError(
    `${repo}: cannot reach ${endpoint}, or the connection broke (${reason}). Nothing was committed. The same command goes ` +
      'on and sends no contents twice; set HF_ENDPOINT to a mirror where the hub cannot be reached.',
    { cause },
  );
}
