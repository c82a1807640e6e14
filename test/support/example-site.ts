// The example of a web page, built by its own command from the sources of the packages, on a server of its own.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const types: Readonly<Record<string, string>> = {
  ...{ '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' },
  ...{ '.wasm': 'application/wasm', '.onnx': 'application/octet-stream' },
};

/** What the README of the example says that a page needs for threads, and what else it may do. */
const strictHeaders = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Content-Security-Policy': [
    ...["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'"],
    ...["connect-src 'self'", "img-src 'self' blob: data:", "style-src 'self'"],
  ].join('; '),
};

export interface ExampleSite {
  readonly url: string;
  /** Whether headers isolate the page, and forbid what it need not. */
  isStrict: boolean;
  /** How the names of files end that the server lacks. */
  missing: string | undefined;
  close(): void;
}

/** @param folder - where the page is written, beside its model */
export async function startExampleSite(folder: string): Promise<ExampleSite> {
  for (const file of ['index.html', 'style.css']) {
    cpSync(source(`examples/browser/public/${file}`), join(folder, file));
  }
  const alias = `--alias:mamba-prune/preparation=${source('packages/mamba-prune/src/preparation/index.ts')}`;
  const flags = [alias, `--outdir=${join(folder, 'dist')}`, '--log-level=warning'];
  execFileSync('npm', ['run', '--silent', 'build', '--', ...flags], {
    cwd: source('examples/browser'),
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const server = createServer(({ url = '/' }, response) => {
    send(response, join(folder, url === '/' ? 'index.html' : url));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const site: ExampleSite = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    isStrict: false,
    missing: undefined,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return site;

  function send(response: ServerResponse, path: string): void {
    if (site.isStrict) response.setHeaders(new Map(Object.entries(strictHeaders)));
    try {
      if (site.missing !== undefined && path.endsWith(site.missing)) throw new Error('404');
      const bytes = readFileSync(path);
      response.setHeader('Content-Type', types[extname(path)] ?? '').end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  }
}
