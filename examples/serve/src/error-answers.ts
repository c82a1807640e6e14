// How errors look to clients: always the same JSON. What went wrong inside is for the log.
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance } from 'fastify';
import { HttpError } from './errors.js';

/** @param maxBytes - of an upload, for the message */
export function answerErrors(app: FastifyInstance, maxBytes: number): void {
  app.setNotFoundHandler((request) => {
    const message = `There is no ${request.method} ${request.url}. Try POST /classify.`;
    throw new HttpError(404, 'not_found', message);
  });
  app.setErrorHandler((error: FastifyError | HttpError, request, reply) => {
    const { statusCode, code, message } = toHttpError(error, maxBytes);
    request.outcome = { ...request.outcome, error: code };
    if (code === 'internal') request.log.error({ err: error }, 'failed');
    return reply.code(statusCode).send(errorBody(code, message, request.id));
  });
}

const tooLarge = new Set(['FST_ERR_CTP_BODY_TOO_LARGE', 'FST_REQ_FILE_TOO_LARGE']);
const formLimits = 'Send a form of one file and at most a few short fields.';

/** What Fastify and its plugins find, in our words. */
const known: Readonly<Record<string, readonly [code: string, message: string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_type',
    'Expected content-type image/jpeg, image/png, image/webp, or a form (multipart/form-data).',
  ],
  FST_FILES_LIMIT: ['bad_form', formLimits],
  FST_FIELDS_LIMIT: ['bad_form', formLimits],
  FST_PARTS_LIMIT: ['bad_form', formLimits],
};

function toHttpError(error: FastifyError | HttpError, maxBytes: number): HttpError {
  if (error instanceof HttpError) return error;
  if (error.statusCode === 413 && tooLarge.has(error.code)) {
    const message = `The image has too many bytes, expected at most ${maxBytes}.`;
    return new HttpError(413, 'too_large', message);
  }
  const status = error.statusCode ?? 500;
  if (status >= 500) {
    return new HttpError(500, 'internal', 'The server failed; its log says why.');
  }
  const [code, message] = known[error.code] ?? [
    error.validation ? 'bad_query' : 'bad_request',
    `The request cannot be read: ${error.message.replace(/\.$/, '')}.`,
  ];
  return new HttpError(status, code, message);
}

const errorBody = (code: string, message: string, requestId: string | null): object => ({
  error: { code, message },
  requestId,
});

/** What is not even HTTP, or too slow in coming: there is no request yet to answer. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, message] = broken[error.code ?? ''] ?? [
    '400 Bad Request',
    'bad_request',
    'The request is not HTTP.',
  ];
  const body = JSON.stringify(errorBody(code, message, null));
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

const broken: Readonly<Record<string, readonly [status: string, code: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'timeout', 'The request did not come in time.'],
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'too_large',
    'The header of the request is too large.',
  ],
};
