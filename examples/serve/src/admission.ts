// Who is let in, and for how long.
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Clock, realClock } from './clock.js';
import { answerBrokenRequest } from './error-answers.js';
import { busy, clientGone, tooSlow } from './errors.js';

export interface AdmissionLimits {
  /** Requests whose image is there and is being worked on. */
  readonly maxConcurrent: number;
  /** Uploads that are coming in. They cost a connection and what has come of them, no more. */
  readonly maxUploading: number;
  /** Bytes of all uploads together that may wait in memory. */
  readonly maxWaitingBytes: number;
  /** An upload that has come slower than `slowestRate` for so long gives way where there is no room. */
  readonly slowAfterMs: number;
  readonly timeoutMs: number;
  /** The real one by default. */
  readonly clock?: Clock | undefined;
}

/** Bytes per second. */
const slowestRate = 16 * 1024;

/** How often the bytes of uploads are counted. */
const countEveryMs = 100;

interface Upload {
  readonly socket: Socket;
  readonly since: number;
  /** Of the connection, before the request; its header counts as part of the upload. */
  readonly bytesBefore: number;
}

/**
 * Counts requests, from their header to the end of their answer: first as uploads, which a client can drag
 * out as it likes, then as work. Slow uploads take no place from those whose image is there.
 */
export class Admission {
  readonly #signals = new WeakMap<FastifyRequest, AbortSignal>();
  readonly #uploads = new Map<FastifyRequest, Upload>();
  readonly #working = new Set<FastifyRequest>();
  /** Bytes that had come over a connection when its last request was answered. */
  readonly #bytesUntil = new WeakMap<Socket, number>();
  #counting: NodeJS.Timeout | undefined;

  readonly #limits: AdmissionLimits;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get working(): number {
    return this.#working.size;
  }

  get uploading(): number {
    return this.#uploads.size;
  }

  /**
   * Called before a body is read.
   * @throws HttpError 503 if there is no room
   */
  enter(request: FastifyRequest, reply: FastifyReply): void {
    const { maxConcurrent, maxUploading, timeoutMs, clock = realClock } = this.#limits;
    const isFull = this.working >= maxConcurrent;
    if (isFull || (this.uploading >= maxUploading && !this.#endSlowest())) throw refused(reply);
    const gone = new AbortController();
    const inTime = clock.after(timeoutMs, () => {
      gone.abort(tooSlow(timeoutMs));
    });
    this.#signals.set(request, gone.signal);
    const { socket } = request.raw;
    const bytesBefore = this.#bytesUntil.get(socket) ?? 0;
    this.#uploads.set(request, { socket, since: performance.now(), bytesBefore });
    this.#counting ??= setInterval(() => {
      this.#checkBytes();
    }, countEveryMs).unref();
    // Comes after the answer, and when the client hangs up before it.
    reply.raw.once('close', () => {
      inTime();
      this.#bytesUntil.set(socket, socket.bytesRead);
      this.#working.delete(request);
      this.#forgetUpload(request);
      gone.abort(clientGone());
    });
  }

  /**
   * The image is there: from now on the request is work.
   * @throws HttpError 503 if there is too much of it
   */
  received(request: FastifyRequest, reply: FastifyReply): void {
    // Its client may have hung up in the meantime.
    if (!this.#forgetUpload(request)) return;
    if (this.working >= this.#limits.maxConcurrent) throw refused(reply);
    this.#working.add(request);
  }

  /** Aborts when the time is over or the client has hung up. */
  signalOf(request: FastifyRequest): AbortSignal {
    const signal = this.#signals.get(request);
    if (!signal) throw new Error('signalOf: the request was not let in');
    return signal;
  }

  #forgetUpload(request: FastifyRequest): boolean {
    const was = this.#uploads.delete(request);
    if (this.#uploads.size === 0) {
      clearInterval(this.#counting);
      this.#counting = undefined;
    }
    return was;
  }

  /** @returns false if all are fast enough */
  #endSlowest(): boolean {
    const now = performance.now();
    let slowest: { readonly request: FastifyRequest; readonly rate: number } | undefined;
    for (const [request, upload] of this.#uploads) {
      const ms = now - upload.since;
      const rate = (1000 * bytesOf(upload)) / ms;
      if (ms < this.#limits.slowAfterMs || rate >= (slowest?.rate ?? slowestRate)) continue;
      slowest = { request, rate };
    }
    if (slowest) this.#end(slowest.request);
    return slowest !== undefined;
  }

  /** Ends the largest uploads until the others have room. */
  #checkBytes(): void {
    const uploads = [...this.#uploads].map(([request, upload]) => ({
      request,
      bytes: bytesOf(upload),
    }));
    let sum = uploads.reduce((total, { bytes }) => total + bytes, 0);
    for (const { request, bytes } of uploads.sort((a, b) => b.bytes - a.bytes)) {
      if (sum <= this.#limits.maxWaitingBytes) return;
      this.#end(request);
      sum -= bytes;
    }
  }

  #end(request: FastifyRequest): void {
    const upload = this.#uploads.get(request);
    this.#forgetUpload(request);
    if (!upload) return;
    answerBrokenRequest(
      Object.assign(new Error('slow upload'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      upload.socket,
    );
    // The client may go on sending for ever.
    upload.socket.destroySoon();
  }
}

const bytesOf = ({ socket, bytesBefore }: Upload): number => socket.bytesRead - bytesBefore;

function refused(reply: FastifyReply): Error {
  // Node.js reads the body and drops it; closing instead could cost the client this answer.
  void reply.header('retry-after', '1');
  return busy();
}

/** The promise, or the signal's reason if that comes first. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
