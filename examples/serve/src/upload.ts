// How an image comes in: as the body itself, or as the one file of a form.
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { imageTypes } from './container.js';
import { HttpError } from './errors.js';

export interface Upload {
  readonly bytes: Buffer;
  /** The content type it was sent with. */
  readonly declared: string;
}

/** Lets images and forms in, nothing else: other types are 415. */
export async function acceptUploads(app: FastifyInstance, maxBytes: number): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    [...imageTypes, 'application/octet-stream'],
    { parseAs: 'buffer', bodyLimit: maxBytes },
    (_request, body, done) => {
      done(null, body);
    },
  );
  await app.register(multipart, {
    // Room for the form around the file.
    limits: { fileSize: maxBytes, files: 1, fields: 8, fieldSize: 1024, parts: 9, headerPairs: 32 },
  });
}

/** @throws HttpError 400 if there is no image; 413 if it is too large */
export async function uploadOf(request: FastifyRequest): Promise<Upload> {
  if (!request.isMultipart()) {
    const declared = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
    // An empty body is parsed into nothing at all.
    const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    if (bytes.length === 0) throw missing();
    return { bytes, declared: declared ?? '' };
  }
  const upload = await fileOf(request);
  if (!upload) throw missing();
  return upload;
}

async function fileOf(request: FastifyRequest): Promise<Upload | undefined> {
  let upload: Upload | undefined;
  try {
    for await (const part of request.parts()) {
      if (part.type !== 'file') continue;
      upload = { bytes: await part.toBuffer(), declared: part.mimetype };
    }
  } catch (error) {
    // The plugin's own errors have a status; what its parser says of a broken form has none.
    if ((error as { statusCode?: number }).statusCode !== undefined) throw error;
    const { message } = error as Error;
    throw new HttpError(400, 'bad_form', `The form cannot be read: ${message}.`);
  }
  return upload;
}

const missing = (): HttpError =>
  new HttpError(
    400,
    'no_image',
    'There is no image: send one as the body (content-type image/jpeg, image/png or image/webp), or as the file of a form.',
  );
