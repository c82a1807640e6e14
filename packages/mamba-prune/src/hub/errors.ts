import type { HubApiError } from '@huggingface/hub';
import { innermostReasonOf } from '../errors.js';
import { passes } from '../files/http-status.js';
import { printableLine } from '../printable.js';
import { type HubSpec, formatHubSpec } from './spec.js';

/** A file of the hub cannot be had; the message says why, and what to do. */
export class HubError extends Error {
  override readonly name = 'HubError';
}

/** Where the hub is and how one may ask it; for messages. */
export interface HubPlace {
  /** `https://huggingface.co`, or a mirror. */
  readonly endpoint: string;
  readonly token: string | undefined;
}

/** The hub answered, but not with what was asked for. */
export function refused(
  spec: HubSpec,
  { endpoint, token }: HubPlace,
  error: HubApiError,
): HubError {
  const { statusCode } = error;
  const page = `${endpoint}/${spec.repo}`;
  const said = `${formatHubSpec(spec)}: the hub answered ${statusCode}`;
  if (statusCode === 401) {
    return new HubError(
      token === undefined
        ? `${said}: there is no such repository, or it is private. Check the name at ${page}, or set HF_TOKEN ` +
            'to a token that may read it.'
        : `${said}: the token in HF_TOKEN may not read it. Make one that may at ${endpoint}/settings/tokens.`,
      { cause: error },
    );
  }
  if (statusCode === 403) {
    return new HubError(
      `${said}: access is restricted. Accept the conditions at ${page}, and set HF_TOKEN to a token of that account.`,
      { cause: error },
    );
  }
  if (statusCode === 404) {
    return new HubError(
      `${said}: no such repository, or no revision '${spec.revision}' in it. Look at ${page}/tree/${spec.revision}.`,
      { cause: error },
    );
  }
  const way = passes(statusCode) ? 'Try again later.' : `Look at ${page}.`;
  return new HubError(`${said} (${reasonIn(error)}). ${way}`, { cause: error });
}

/** The hub's own words, without the address and number that its client adds. */
export const reasonIn = ({ message }: HubApiError): string =>
  printableLine(message.replace(/\.? URL: \S+.*$/s, '').replace(/\.$/, ''));

/** Nothing answered, and the cache has nothing either. */
export function unreachable(spec: HubSpec, { endpoint }: HubPlace, cause: unknown): HubError {
  return new HubError(
    `${formatHubSpec(spec)}: cannot reach ${endpoint} (${innermostReasonOf(cause)}), and the cache has no copy. ` +
      `Set HF_ENDPOINT to a mirror, or download the file from ${endpoint}/${spec.repo} on another machine and ` +
      'give its path in place of hf:...',
    { cause },
  );
}

/** What fetch throws without an answer: a TypeError, with the reason below it. */
export function isNetworkError(error: unknown): boolean {
  return error instanceof TypeError && error.cause instanceof Error;
}

/** What the hub's client throws where an answer is none of a hub: no JSON, as of a proxy's page, or JSON without what it reads. */
export const isForeignAnswer = (error: unknown): boolean =>
  !isNetworkError(error) && (error instanceof SyntaxError || error instanceof TypeError);

export const foreignAnswer = (what: string, endpoint: string, cause: unknown): HubError =>
  new HubError(
    `${what}: ${endpoint} answers otherwise than a hub does. Is HF_ENDPOINT a hub, and does a proxy or a login page stand before it?`,
    { cause },
  );
