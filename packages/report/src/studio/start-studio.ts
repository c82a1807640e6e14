// `mamba-prune studio`: a server on this machine, for this machine.
import { existsSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { type ServerType, serve } from '@hono/node-server';
import { UsageError } from 'mamba-prune';
import {
  type OptionKinds,
  type Studio,
  type StudioOptions,
  checkOptions,
  checksOf,
  lastPort,
  requirePath,
  usualPort,
} from 'mamba-prune/internal';
import { boxedRuns } from '../data/boxed.js';
import { studioApp } from './app.js';
import { Watcher } from './watcher.js';

const address = '127.0.0.1';
/** Where runs are written in all examples. */
const usualFolder = 'runs';

const studioKinds: OptionKinds<StudioOptions> = {
  folder: 'string',
  port: 'number',
  dataset: 'string',
  data: 'string',
};

/**
 * Serves the runs below a folder on the loopback address until it is closed. While there are none it shows the models of
 * @mamba-prune/models, where that is installed.
 * @returns once the page can be asked for
 * @throws UsageError for options that are unknown, of another kind or out of range, if a folder that was given does not exist, or
 *   if the port is taken
 */
export async function startStudio(options: StudioOptions = {}): Promise<Studio> {
  checkOptions('startStudio', options, studioKinds);
  const { folder, port = usualPort, dataset, data } = options;
  if (folder !== undefined) requirePath('startStudio: folder', folder, 'a folder with runs');
  checksOf('startStudio').integer('port', port, { min: 0, max: lastPort });
  const path = resolve(folder ?? usualFolder);
  if (folder?.startsWith('models:') === true && !isFolder(path)) {
    throw new UsageError(
      `${folder} is a trained model, expected a folder with runs. The trained models are shown while there are no runs: name a folder without any, or none.`,
    );
  }
  if (folder !== undefined && !isFolder(path)) {
    throw new UsageError(
      `${folder} is no folder, expected one that holds runs, or will: make it first.`,
    );
  }
  if (data !== undefined && !isFolder(data)) {
    throw new UsageError(`\`data\`: ${data} is no folder, expected the one of the data set.`);
  }
  let own = port;
  const names = new Set([address, 'localhost']);
  const isHost = (host: string): boolean => {
    const [, name = '', at = '80'] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
    return names.has(name) && Number(at) === own;
  };
  const app = studioApp(new Watcher(path, boxedRuns()), isHost, { dataset, data });
  const server = await listen(app.fetch, port);
  own = (server.address() as AddressInfo).port;
  return {
    url: `http://${address}:${own}/`,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => {
          done();
        });
        // Pages that are open hold a connection each.
        if ('closeAllConnections' in server) server.closeAllConnections();
      }),
  };
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

function listen(fetch: Parameters<typeof serve>[0]['fetch'], port: number): Promise<ServerType> {
  return new Promise((done, fail) => {
    const server = serve({ fetch, port, hostname: address }, () => {
      done(server);
    });
    server.once('error', (error: NodeJS.ErrnoException) => {
      fail(
        error.code === 'EADDRINUSE' || error.code === 'EACCES'
          ? new UsageError(
              `\`port\`: ${port} cannot be used (${error.code}), expected one that is free. Give another one, or 0.`,
            )
          : error,
      );
    });
  });
}
