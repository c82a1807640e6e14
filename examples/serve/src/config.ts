// What can be set from outside, by environment variables, and how far each may go.
import { z } from 'zod';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const hour = 3_600_000;

const schema = z.object({
  /** The .onnx file. */
  MODEL: z.string().min(1),
  HOST: z.string().default('127.0.0.1'),
  /** 0 takes a free one. */
  PORT: whole(0, 65_535).default(8080),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** CPU threads of one inference. */
  THREADS: whole(1, 1024).default(1),
  /** Images that are classified at a time. */
  MAX_BATCH: whole(1, 4096).default(16),
  /** How long the first image of a batch waits for others while nothing is running. */
  BATCH_WAIT_MS: whole(0, hour).default(2),
  /** Images that are being worked on; one more is sent away with 503. */
  MAX_CONCURRENT: whole(1, 100_000).default(64),
  /** Uploads that are coming in; one more ends the slowest, or is sent away with 503 if none is slow. */
  MAX_UPLOADING: whole(1, 100_000).default(1024),
  /** After which an upload under 16 KiB/s counts as slow. */
  SLOW_AFTER_MS: whole(1, hour).default(1000),
  MAX_UPLOAD_BYTES: whole(1, 2 ** 30).default(5 * 2 ** 20),
  /** Of an image before it is made small. */
  MAX_PIXELS: whole(1, 1_000_000_000).default(25_000_000),
  MAX_SIDE: whole(1, 65_535).default(8192),
  /** From the first byte of a request to its answer. */
  TIMEOUT_MS: whole(10, hour).default(10_000),
  /** Between SIGTERM and the closing of the port, for a load balancer to see that /ready says no. */
  DRAIN_MS: whole(0, hour).default(0),
  /** How long requests in flight may take after SIGTERM. */
  GRACE_MS: whole(0, hour).default(15_000),
});

export type Config = z.infer<typeof schema>;

/**
 * @param env - environment variables
 * @param model - the command's argument; it wins over MODEL
 * @throws Error that names every setting that is wrong
 */
export function readConfig(env: NodeJS.ProcessEnv, model?: string): Config {
  // An empty variable is as good as none.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(model === undefined ? given : { ...given, MODEL: model });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => {
    const name = path.join('.');
    return name === 'MODEL'
      ? 'no model: give an .onnx file as the argument, or set MODEL'
      : `${name}: got '${given[name] ?? ''}': ${message}`;
  });
  throw new Error(problems.join('\n'));
}
