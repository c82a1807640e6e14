// Pythons with packages that tests compare with. Nothing but such tests needs one.
import { execFileSync } from 'node:child_process';

/** TEST_PYTHON names one; the system's, to which Debian's packages belong, comes last. */
const pythons = [process.env['TEST_PYTHON'] ?? 'python3', '/usr/bin/python3'];

/**
 * @param modules - as `import` takes them
 * @returns the first Python that has all modules
 */
export function pythonWith(modules: string): string | undefined {
  return pythons.find((python) => {
    try {
      execFileSync(python, ['-c', `import ${modules}`], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

/** For the title of a test that is skipped without it. */
export const unlessPython = (python: string | undefined, modules: string): string =>
  python === undefined ? ` (skipped: no python3 has ${modules}; TEST_PYTHON names one)` : '';
