// Loaded with --import before the program: as if @mamba-prune/report were not installed.
import { register } from 'node:module';

const hook = `export async function resolve(name, context, next) {
  if (name !== '@mamba-prune/report') return next(name, context);
  const error = new Error("Cannot find package '@mamba-prune/report'");
  throw Object.assign(error, { code: 'ERR_MODULE_NOT_FOUND' });
}`;

register(`data:text/javascript,${encodeURIComponent(hook)}`);
