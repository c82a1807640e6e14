// The part of the hub's protocol that uploads speak: a repository made, a branch made, preupload, git-lfs's batch, contents
// put on the content server, and the commit. Contents are kept by their sha256, so that what was sent once is known.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type FakeRepo, bodyOf, bytesOf, json, sha256 } from './hub-server.js';

/** What the last commit was called, and what it had. */
export interface SeenCommit {
  readonly repo: string;
  readonly branch: string;
  readonly summary: string;
  readonly files: readonly string[];
}

interface Asked {
  readonly name: string;
  readonly branch: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export class PushSide {
  /** May write everywhere; any other that begins with hf_ may only read. */
  token = 'hf_writer';
  readonly commits: SeenCommit[] = [];
  /** Large contents that were put, by their sha256. */
  readonly stored = new Map<string, Buffer>();
  /** Status of answers to requests whose path matches, with the hub's words. */
  refuse: { readonly path: RegExp; readonly status: number; readonly error?: string } | undefined;
  /** Closes the connection of requests whose path matches, without an answer. */
  breakAt: RegExp | undefined;
  /** Is told of every request before it is answered. */
  onRequest: ((path: string) => void) | undefined;

  readonly #repos: Record<string, FakeRepo>;
  readonly #contentOrigin: () => string;

  constructor(repos: Record<string, FakeRepo>, contentOrigin: () => string) {
    this.#repos = repos;
    this.#contentOrigin = contentOrigin;
  }

  /** @returns whether it was a request of an upload */
  async answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    if (request.method !== 'POST' || path.includes('/paths-info/')) return false;
    if (this.#stops(path, request, response)) return true;
    if (path === '/api/repos/create') {
      await this.#create(request, response);
      return true;
    }
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(preupload|commit|branch)\/(.+)$/.exec(path);
    const batch = /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/.exec(path);
    const name = api?.[1] ?? batch?.[1] ?? '';
    const branch = api?.[3] ?? '';
    const repo = this.#repos[name];
    if (!repo) json(response, 404, { error: 'Repository not found' });
    else if (api?.[2] === 'branch') {
      const isThere = branch in repo.refs;
      if (!isThere)
        this.#repos[name] = { ...repo, refs: { ...repo.refs, [branch]: repo.refs['main'] ?? '' } };
      json(response, isThere ? 409 : 200, {});
    } else if (batch) await this.#batch({ name, branch, request, response });
    else if (!(branch in repo.refs)) json(response, 404, { error: `Invalid rev id: ${branch}` });
    else if (api?.[2] === 'preupload') await preupload(request, response);
    else await this.#commit({ name, branch, request, response }, repo);
    return true;
  }

  /** Contents on their way to the content server. */
  async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    if (this.#stops(path, request, response, { isContent: true })) return;
    const content = await bytesOf(request);
    const matches = path === `/lfs/${sha256(content)}`;
    if (matches) this.stored.set(sha256(content), content);
    response.writeHead(matches ? 200 : 400).end();
  }

  #stops(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    { isContent = false } = {},
  ): boolean {
    this.onRequest?.(path);
    const { authorization = '' } = request.headers;
    if (this.breakAt?.test(path) === true) request.socket.destroy();
    else if (this.refuse?.path.test(path) === true) {
      const { status, error = 'as the test asked' } = this.refuse;
      json(response, status, { error });
      // The token is for the hub alone.
    } else if (isContent) {
      if (authorization === '') return false;
      json(response, 400, { error: 'a token where none belongs' });
    } else if (!authorization.startsWith('Bearer hf_') || authorization.endsWith('_stale')) {
      json(response, 401, { error: 'Invalid username or password.' });
    } else if (authorization !== `Bearer ${this.token}`) {
      json(response, 403, { error: 'Forbidden: pass a token with write access' });
    } else return false;
    return true;
  }

  async #create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = JSON.parse(await bodyOf(request)) as Record<string, string>;
    const name = `${asked['organization'] ?? ''}/${asked['name'] ?? ''}`;
    if (name in this.#repos) {
      json(response, 409, { error: 'You already created this model repo' });
      return;
    }
    const isPrivate = asked['visibility'] === 'private';
    this.#repos[name] = { refs: { main: '0'.repeat(40) }, files: {}, private: isPrivate };
    json(response, 200, { url: name, id: '1' });
  }

  async #batch({ name, request, response }: Asked): Promise<void> {
    const { objects } = JSON.parse(await bodyOf(request)) as {
      objects: { oid: string; size: number }[];
    };
    const href = (oid: string): string => `${this.#contentOrigin()}/lfs/${oid}`;
    json(response, 200, {
      transfer: 'basic',
      objects: objects.map(({ oid, size }) => ({
        oid,
        size,
        ...(!this.stored.has(oid) && { actions: { upload: { href: href(oid) } } }),
      })),
      // Names nothing, as long as nobody asks for it.
      repo: name,
    });
  }

  async #commit({ name, branch, request, response }: Asked, repo: FakeRepo): Promise<void> {
    const lines = (await bodyOf(request)).split('\n').map((line) => JSON.parse(line) as Line);
    const files: Record<string, Buffer> = { ...repo.files };
    const lfs = new Set(repo.lfs);
    for (const line of lines) {
      if (line.key === 'file') {
        files[line.value.path] = Buffer.from(line.value.content, 'base64');
        lfs.delete(line.value.path);
      } else if (line.key === 'lfsFile') {
        const content = this.stored.get(line.value.oid);
        if (content?.length !== line.value.size) {
          json(response, 400, { error: `${line.value.path}: its content was not uploaded` });
          return;
        }
        files[line.value.path] = content;
        lfs.add(line.value.path);
      }
    }
    const [header] = lines;
    const summary = header?.key === 'header' ? header.value.summary : '';
    const paths = lines.flatMap((line) => (line.key === 'header' ? [] : [line.value.path]));
    this.commits.push({ repo: name, branch, summary, files: paths.sort() });
    const commit = sha256(Buffer.from(String(this.commits.length))).slice(0, 40);
    this.#repos[name] = { ...repo, files, lfs: [...lfs], refs: { ...repo.refs, [branch]: commit } };
    json(response, 200, {
      commitOid: commit,
      commitUrl: `${name}/commit/${commit}`,
      hookOutput: '',
    });
  }
}

type Line =
  | { readonly key: 'header'; readonly value: { readonly summary: string } }
  | { readonly key: 'file'; readonly value: { readonly path: string; readonly content: string } }
  | {
      readonly key: 'lfsFile';
      readonly value: { readonly path: string; readonly oid: string; readonly size: number };
    };

/** Binary files go to LFS, as .gitattributes of a new repository has it. */
async function preupload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { files } = JSON.parse(await bodyOf(request)) as { files: { path: string }[] };
  json(response, 200, {
    files: files.map(({ path }) => ({
      path,
      shouldIgnore: false,
      uploadMode: /\.(safetensors|onnx)$/.test(path) ? 'lfs' : 'regular',
    })),
  });
}
