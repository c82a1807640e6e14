// A server of plain files, as releases lie on: it knows ranges or not, tells an ETag, and breaks off when told to.
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';

export class ReleaseServer {
  /** Contents by path. */
  readonly files = new Map<string, Buffer>();
  /** Ranges that were asked for, in their order; undefined for all of a file. */
  readonly ranges: (string | undefined)[] = [];
  /** Whether answers say the md5 of the whole, as Azure does; `wrong` says another. */
  md5: 'right' | 'wrong' | 'none' = 'none';
  /** Whether it sends what a range asks for. Many servers send all of the file. */
  knowsRanges = true;
  /** Closes the connection of the next contents after so many bytes. */
  breakAfter: number | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const content = this.files.get(request.url ?? '');
      const asked = request.headers.range;
      this.ranges.push(asked);
      const range = this.knowsRanges ? asked : undefined;
      if (!content) {
        response.writeHead(404).end('no such file');
        return;
      }
      const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
      const start = Number(from ?? 0);
      const end = to === undefined || to === '' ? content.length : Number(to) + 1;
      const hash = createHash('md5').update(this.md5 === 'wrong' ? 'other' : content);
      response.writeHead(range === undefined ? 200 : 206, {
        'content-length': end - start,
        etag: `"${createHash('sha1').update(content).digest('hex')}"`,
        ...(range !== undefined && {
          'content-range': `bytes ${start}-${end - 1}/${content.length}`,
        }),
        ...(this.md5 !== 'none' && { 'x-ms-blob-content-md5': hash.digest('base64') }),
      });
      const breakAt = asked === 'bytes=0-0' ? undefined : this.breakAfter;
      if (breakAt === undefined) response.end(content.subarray(start, end));
      else {
        this.breakAfter = undefined;
        // Only what was handed over is sure to arrive before the connection closes.
        response.write(content.subarray(start, start + breakAt), () => {
          setImmediate(() => response.destroy());
        });
      }
    });
  }

  static async start(): Promise<ReleaseServer> {
    const server = new ReleaseServer();
    await new Promise<void>((listening) => server.#server.listen(0, '127.0.0.1', listening));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
