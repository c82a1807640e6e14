/** What a client is told: a status, a word for programs, a sentence for people. */
export class HttpError extends Error {
  override readonly name = 'HttpError';

  readonly statusCode: number;
  readonly code: string;

  constructor(statusCode: number, code: string, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
  }
}

/** Something about the upload; the client should not send it again. */
export const badImage = (code: string, message: string): HttpError =>
  new HttpError(code === 'unsupported_type' ? 415 : 422, code, message);

export const busy = (): HttpError =>
  new HttpError(503, 'busy', 'Too many images are being worked on. Try again in a second.');

export const stopping = (): HttpError =>
  new HttpError(503, 'stopping', 'The server is stopping. Try another one.');

/** Nobody reads the answer; the log does. */
export const clientGone = (): HttpError =>
  new HttpError(499, 'client_gone', 'The client has hung up.');

export const tooSlow = (ms: number): HttpError =>
  new HttpError(504, 'timeout', `The image was not classified within ${ms} ms.`);
