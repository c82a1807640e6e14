// Speaks as much of the hub's protocol as a download needs: commit, tree, paths, resolve, and a content
// server of another origin that large files are redirected to. What an upload needs is in push-side.ts.
import { createHash } from 'node:crypto';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PushSide } from './push-side.js';

export interface FakeRepo {
  /** Branch or tag to commit. */
  readonly refs: Record<string, string>;
  readonly files: Record<string, Buffer>;
  /** Names of files kept in LFS: sha256 instead of git's hash, and a redirect to the content server. */
  readonly lfs?: readonly string[];
  /** Who may read it. */
  readonly access?: { readonly token: string } | 'gated';
  readonly private?: boolean;
}

export interface SeenRequest {
  readonly server: 'hub' | 'content';
  readonly method: string;
  readonly url: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export class HubServer {
  readonly seen: SeenRequest[] = [];
  /** Breaks the next contents off after so many bytes; one entry per connection. */
  readonly breakAfter: number[] = [];
  /** Status of the next answers of the hub, whatever was asked. */
  readonly failWith: number[] = [];
  /** Requests of the hub whose path matches get no answer. */
  silentAt: RegExp | undefined;
  /** Changes contents on their way. */
  spoil: ((content: Buffer) => Buffer) | undefined;
  /** Entries per page of a listing. */
  pageSize = 2;
  readonly #hub: Server;
  readonly #content: Server;
  readonly push: PushSide;

  readonly repos: Record<string, FakeRepo>;

  private constructor(repos: Record<string, FakeRepo>) {
    this.repos = repos;
    this.push = new PushSide(repos, () => origin(this.#content));
    this.#hub = createServer((request, response) => {
      this.#note('hub', request);
      this.#answer(request, response).catch((error: unknown) => {
        response.destroy(error as Error);
      });
    });
    this.#content = createServer((request, response) => {
      this.#note('content', request);
      if (request.method === 'PUT') {
        void this.push.receive(request, response);
        return;
      }
      const [repo = '', file = ''] = decodeURIComponent(request.url ?? '')
        .slice(1)
        .split('|');
      this.#sendContent(request, response, this.repos[repo]?.files[file] ?? Buffer.alloc(0));
    });
  }

  readonly #breaks: { readonly at: number; readonly response: ServerResponse }[] = [];

  static async start(repos: Record<string, FakeRepo>): Promise<HubServer> {
    const server = new HubServer(repos);
    for (const part of [server.#hub, server.#content]) {
      await new Promise<void>((listening) => part.listen(0, '127.0.0.1', listening));
    }
    return server;
  }

  get endpoint(): string {
    return origin(this.#hub);
  }

  /** Contents asked for, without the one byte that asks for size and ETag. */
  contents(): SeenRequest[] {
    return this.seen.filter(({ url, range }) => !url.includes('/api/') && range !== 'bytes=0-0');
  }

  stop(): void {
    for (const part of [this.#hub, this.#content]) {
      part.closeAllConnections();
      part.close();
    }
  }

  #note(server: SeenRequest['server'], request: IncomingMessage): void {
    const { method = '', url = '', headers } = request;
    const { range, authorization } = headers;
    this.seen.push({ server, method, url, range, authorization });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const status = this.failWith.shift();
    if (status !== undefined) {
      json(response, status, { error: 'as the test asked' });
      return;
    }
    const url = new URL(request.url ?? '', this.endpoint);
    const path = decodeURIComponent(url.pathname);
    if (this.silentAt?.test(path) === true) return;
    if (await this.push.answer(path, request, response)) return;
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree|paths-info)\/(.+)$/.exec(path);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const name = api?.[1] ?? resolve?.[1] ?? '';
    const repo = this.repos[name];
    if (!repo) {
      // The hub does not tell strangers what exists.
      const known = request.headers.authorization !== undefined;
      json(response, known ? 404 : 401, { error: 'Repository not found' });
      return;
    }
    const { access } = repo;
    if (access === 'gated') {
      json(response, 403, { error: 'Access to this model is restricted' });
      return;
    }
    if (access && request.headers.authorization !== `Bearer ${access.token}`) {
      json(response, 401, { error: 'Invalid credentials' });
      return;
    }
    const commits = Object.values(repo.refs);
    const revision = api?.[3] ?? resolve?.[2] ?? '';
    const commit = commits.includes(revision) ? revision : repo.refs[revision];
    if (commit === undefined) {
      json(response, 404, { error: `Invalid rev id: ${revision}` });
    } else if (api?.[2] === 'revision') {
      json(response, 200, {
        _id: '1',
        id: name,
        sha: commit,
        private: repo.private === true,
        lastModified: '2026-01-01',
      });
    } else if (api?.[2] === 'tree') {
      this.#list(response, url, entriesOf(repo));
    } else if (api) {
      const { paths } = JSON.parse(await bodyOf(request)) as { paths: string[] };
      const found = entriesOf(repo).filter((entry) => paths.includes(entry.path));
      json(response, 200, found);
    } else {
      this.#resolve(request, response, name, resolve?.[3] ?? '');
    }
  }

  #list(response: ServerResponse, url: URL, entries: readonly Entry[]): void {
    const top = entries.filter(({ path }) => !path.includes('/'));
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const next = from + this.pageSize;
    url.searchParams.set('cursor', String(next));
    const link = next < top.length ? { Link: `<${url.href}>; rel="next"` } : {};
    json(response, 200, top.slice(from, next), link);
  }

  #resolve(request: IncomingMessage, response: ServerResponse, name: string, file: string): void {
    const repo = this.repos[name];
    const content = repo?.files[file];
    if (!repo || !content) {
      json(response, 404, { error: 'Entry not found' }, { 'X-Error-Code': 'EntryNotFound' });
    } else if (repo.lfs?.includes(file) === true) {
      const location = `${origin(this.#content)}/${encodeURIComponent(`${name}|${file}`)}`;
      response.writeHead(302, {
        Location: location,
        'X-Linked-Size': content.length,
        'X-Linked-ETag': `"${sha256(content)}"`,
      });
      response.end();
    } else this.#sendContent(request, response, content);
  }

  #sendContent(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
    const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(asked?.[1] ?? 0);
    const last = asked?.[2] ? Number(asked[2]) : content.length - 1;
    const body = (this.spoil?.(content) ?? content).subarray(start, last + 1);
    response.writeHead(asked ? 206 : 200, {
      'Content-Length': body.length,
      ETag: `"${sha256(content)}"`,
      ...(asked && { 'Content-Range': `bytes ${start}-${last}/${content.length}` }),
    });
    const limit = body.length > 1 ? this.breakAfter.shift() : undefined;
    if (limit === undefined || limit >= body.length) response.end(body);
    else {
      this.#breaks.push({ at: start + limit, response });
      response.write(body.subarray(0, limit));
      if (limit === 0) this.arrived(start);
    }
  }

  /**
   * For a client to say how many bytes of the file it has: a connection breaks only when all that was sent
   * before has arrived, for what waits to be read is lost with it.
   */
  arrived(received: number): void {
    for (const { at, response } of this.#breaks) if (received >= at) response.destroy();
  }
}

interface Entry {
  readonly type: 'file';
  readonly path: string;
  readonly size: number;
  readonly oid: string;
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number };
}

function entriesOf({ files, lfs = [] }: FakeRepo): Entry[] {
  return Object.entries(files).map(([path, content]) => {
    if (!lfs.includes(path))
      return { type: 'file', path, size: content.length, oid: gitHash(content) };
    const pointer = Buffer.from(
      `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\n`,
    );
    return {
      type: 'file',
      path,
      size: content.length,
      oid: gitHash(pointer),
      lfs: { oid: sha256(content), size: content.length, pointerSize: pointer.length },
    };
  });
}

export const sha256 = (content: Buffer): string =>
  createHash('sha256').update(content).digest('hex');

/** `git hash-object` */
export const gitHash = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

export async function bodyOf(request: IncomingMessage): Promise<string> {
  return (await bytesOf(request)).toString();
}

export async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

const origin = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
