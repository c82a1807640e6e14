/**
 * The other process of the store's tests: `node store-child.mjs MODE PORT`. A host tells its port over IPC.
 *
 * - host: holds a store until it is killed; dies by itself 300 ms after the message 'die'
 * - set: sets the key `late` in the store at PORT after a moment, and ends
 * - mute, http, reset: listens as a store that answers nothing but the greeting, as another program, or as
 *   one that dies
 * - leave: leaves word under the key `word`, says so, and waits to be killed
 */
import { createServer } from 'node:net';
import { native } from '../../native.js';

const [, , mode, port] = process.argv;
const timeoutMs = 20_000;
if (mode === 'host') {
  const store = native.storeOpen('127.0.0.1', 0, true, timeoutMs);
  process.on('message', () => {
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 300);
  });
  process.send(native.storePort(store));
} else if (mode === 'mute' || mode === 'http' || mode === 'reset') {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (mode === 'mute') socket.write('mps-1\r\n\0');
    else if (mode === 'reset') socket.once('data', () => socket.resetAndDestroy());
    else socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
} else {
  const store = native.storeOpen('127.0.0.1', Number(port), false, timeoutMs);
  if (mode === 'set') {
    setTimeout(() => {
      native.storeSet(store, 'late', 'here');
      process.disconnect();
    }, 200);
  } else {
    native.storeLeave(store, 'word', 'gone');
    process.send('left');
    process.on('message', () => undefined);
  }
}
