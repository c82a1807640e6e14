// What stands on a terminal after a command: lines that progress wrote over again are what they were at the end. tmux is the terminal.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** More lines than any picture has. */
const rows = 500;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param command - for sh, in the current folder
 * @returns the lines with their colours as escape sequences, without empty ones at the end
 * @throws Error where tmux does not start, or the command fails
 */
export function screenAfter(command, { columns = 80 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mp-terminal-'));
  // A server of its own, which reads no settings of the user's.
  const tmux = (...args) =>
    execFileSync('tmux', ['-S', join(folder, 'socket'), '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const status = join(folder, 'status');
  try {
    const script = `${command}\necho $? > ${quoted(status)}\ntmux wait-for -S done\nsleep 600`;
    tmux('new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, `sh -c ${quoted(script)}`);
    tmux('wait-for', 'done');
    const screen = tmux('capture-pane', '-p', '-e').trimEnd();
    const code = readFileSync(status, 'utf8').trim();
    if (code !== '0') throw new Error(`${command}: ended with ${code}, expected 0.\n${screen}`);
    return screen;
  } catch (error) {
    if (error.code !== 'ENOENT' || error.syscall?.startsWith('spawn') !== true) throw error;
    throw new Error(
      'tmux is missing, which is the terminal here. Install it (apt-get install tmux).',
      { cause: error },
    );
  } finally {
    spawnSync('tmux', ['-S', join(folder, 'socket'), 'kill-server'], { stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true });
  }
}
