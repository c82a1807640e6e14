/**
 * Archives that a server calls packed on their way. Some servers say `Content-Encoding: gzip` of every file whose name ends in .gz
 * (Apache with mod_mime), although it is the file itself that they send: fetch would unpack it, and the checksum of what stays is
 * another one. Programs that download files keep such bytes as they come, and so do browsers.
 */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';
import { Readable } from 'node:stream';

/** Whether what fetch would unpack is the file as it is stored. Nobody has asked for it to be packed. */
export function isStoredPacked(asked: string, { headers, status, url }: Response): boolean {
  if (status !== 200 && status !== 206) return false;
  if (!/^(?:x-)?gzip$/i.test(headers.get('content-encoding')?.trim() ?? '')) return false;
  return (
    [asked, url].some((address) => /\.(?:gz|tgz)$/i.test(pathOf(address))) ||
    /^application\/(?:x-)?(?:gzip|tgz|gtar)\b/i.test(headers.get('content-type') ?? '')
  );
}

/**
 * Asks once more, without fetch, which cannot leave bytes as they are.
 * @param response - whose body nobody has read
 * @param headers - those of the request
 */
export async function asStored(
  response: Response,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  // Behind all redirects.
  const { url } = response;
  await response.body?.cancel();
  const get = url.startsWith('https:') ? getHttps : getHttp;
  const message = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers: { ...headers, 'Accept-Encoding': 'identity' }, signal }, resolve).on(
      'error',
      reject,
    );
  });
  const all = new Headers();
  for (const [name, value = ''] of Object.entries(message.headers)) {
    if (name !== 'content-encoding') all.set(name, String(value));
  }
  const { statusCode: status = 0 } = message;
  if (status === 204 || status === 304) message.resume();
  const body =
    status === 204 || status === 304 ? null : (Readable.toWeb(message) as ReadableStream);
  return new Response(body, { status, headers: all });
}

const pathOf = (address: string): string =>
  URL.canParse(address) ? new URL(address).pathname : '';
