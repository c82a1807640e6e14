// Builds the page, serves it at http://localhost:8000, and builds it anew when a source changes, until a signal.
//
//   node serve.mjs [FLAGS of esbuild]
//
// esbuild ends when its stdin does. A service has none, so it gets one here, which ends with this process however that ends.
import { spawn } from 'node:child_process';

const flags = ['--watch', '--servedir=public', '--serve=localhost:8000', ...process.argv.slice(2)];
const build = spawn('npm', ['run', '--silent', 'build', '--', ...flags], {
  cwd: import.meta.dirname,
  stdio: ['pipe', 'inherit', 'inherit'],
});
build.on('exit', (status) => {
  process.exitCode = status ?? 1;
});
