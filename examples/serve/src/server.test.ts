// Through real sockets: what clients do to a server is not all HTTP.
import { type Socket, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Clock } from './clock.js';
import type { Config } from './config.js';
import { type RunningServer, startServer } from './start.js';
import {
  type FakeClassifier,
  fakeClassifier,
  fakeConfig,
  fakeServer,
} from './testing/fake-classifier.js';
import { forgedPng, noise, picture } from './testing/images.js';
import { ManualClock } from './testing/manual-clock.js';

let [bright, dark]: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
let classifier: FakeClassifier;
let server: RunningServer | undefined;

beforeAll(async () => {
  bright = await picture('jpeg', { level: 230 });
  dark = await picture('png', { level: 20 });
});

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function serve(settings: Partial<Config> = {}, clock?: Clock): Promise<string> {
  classifier = fakeClassifier();
  server = await fakeServer(classifier, settings, clock);
  return server.url;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly predictions?: readonly { class: string; index: number; probability: number }[];
    readonly timing?: { readonly batch: number };
    readonly error?: { readonly code: string; readonly message: string };
    readonly requestId?: string;
    readonly status?: string;
  };
}

async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const body = (await response.json()) as Answer['body'];
  return { status: response.status, headers: response.headers, body };
}

const upload = (url: string, bytes: Buffer, type = 'image/jpeg', query = ''): Promise<Answer> =>
  send(`${url}/classify${query}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: new Uint8Array(bytes),
  });

/** Sends text over a socket of its own. @returns all that came back when the server closed it */
function raw(url: string, text: string | Buffer): { socket: Socket; answer: Promise<string> } {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(text);
  let received = '';
  const answer = new Promise<string>((resolve) => {
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve(received);
    });
  });
  return { socket, answer };
}

/** Without a limit of its own: that of the test is the net for what never happens. */
const eventually = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await condition())) await sleep(5);
};

const working = async (url: string): Promise<number> =>
  ((await send(`${url}/ready`)).body as { working: number }).working;

describe('POST /classify', () => {
  it('names the classes of a body, likeliest first', async () => {
    const url = await serve();
    const { status, headers, body } = await upload(url, bright);
    expect(status).toBe(200);
    const [first, second] = body.predictions ?? [];
    expect(first).toMatchObject({ class: 'bright', index: 1 });
    // 230 / 255, to the loss of a JPEG.
    expect(first?.probability).toBeCloseTo(0.902, 1);
    expect(second?.class).toBe('dark');
    expect(headers.get('x-request-id')).toBe(body.requestId);
    expect(body.timing?.batch).toBe(1);
  });

  it('takes a form, and as many classes as are asked for', async () => {
    const url = await serve();
    const form = new FormData();
    form.append('comment', 'holiday');
    form.append('image', new Blob([new Uint8Array(dark)], { type: 'image/png' }), 'a.png');
    const { status, body } = await send(`${url}/classify?top=1`, { method: 'POST', body: form });
    expect(status).toBe(200);
    expect(body.predictions).toHaveLength(1);
    expect(body.predictions?.[0]?.class).toBe('dark');
  });

  it('gives concurrent requests one inference, and each its own result', async () => {
    const url = await serve({ MAX_BATCH: 8 });
    const open = classifier.hold();
    const first = upload(url, bright);
    await eventually(() => classifier.begun() === 1);
    const images = [dark, bright, dark, bright, dark, dark, bright, bright];
    const others = images.map((bytes) => upload(url, bytes, 'application/octet-stream'));
    await eventually(async () => (await send(`${url}/ready`)).body.status === 'ready');
    await eventually(
      async () => ((await send(`${url}/ready`)).body as { waiting?: number }).waiting === 8,
    );
    open();
    await first;
    const answers = await Promise.all(others);
    expect(answers.map(({ body }) => body.predictions?.[0]?.class)).toEqual(
      images.map((bytes) => (bytes === bright ? 'bright' : 'dark')),
    );
    expect(answers.map(({ body }) => body.timing?.batch)).toEqual(Array(8).fill(8));
    expect(classifier.batches).toEqual([1, 8]);
  });
});

describe('what is wrong with a request', () => {
  const wrong: readonly (readonly [string, number, string, (url: string) => Promise<Answer>])[] = [
    ['no body', 400, 'no_image', (url) => upload(url, Buffer.alloc(0))],
    ['a body of text', 415, 'unsupported_type', (url) => upload(url, bright, 'text/plain')],
    [
      'a body of JSON',
      415,
      'unsupported_type',
      (url) => upload(url, Buffer.from('{}'), 'application/json'),
    ],
    [
      'another type than it says',
      415,
      'unsupported_type',
      (url) => upload(url, bright, 'image/png'),
    ],
    ['noise for an image', 415, 'unsupported_type', (url) => upload(url, noise(1000))],
    ['half an image', 422, 'truncated', (url) => upload(url, bright.subarray(0, 400))],
    [
      'a bomb',
      422,
      'too_many_pixels',
      (url) => upload(url, forgedPng(30_000, 30_000), 'image/png'),
    ],
    ['too many bytes', 413, 'too_large', (url) => upload(url, noise(20_000))],
    [
      'a form without a file',
      400,
      'no_image',
      (url) => send(`${url}/classify`, { method: 'POST', body: form([]) }),
    ],
    [
      'a form with two files',
      413,
      'bad_form',
      (url) => send(`${url}/classify`, { method: 'POST', body: form([dark, dark]) }),
    ],
    [
      'a form with too large a file',
      413,
      'too_large',
      (url) => send(`${url}/classify`, { method: 'POST', body: form([noise(20_000)]) }),
    ],
    [
      'a form that breaks off',
      400,
      'bad_form',
      (url) =>
        send(`${url}/classify`, {
          method: 'POST',
          headers: { 'content-type': 'multipart/form-data; boundary=x' },
          body: '--x\r\ncontent-disposition: form-data; name="a"; filename="a.png"\r\ncontent-type: image/png\r\n\r\nabc',
        }),
    ],
    ['a top of nothing', 400, 'bad_query', (url) => upload(url, bright, 'image/jpeg', '?top=0')],
    ['another path', 404, 'not_found', (url) => send(`${url}/etc/passwd`)],
    ['another method', 404, 'not_found', (url) => send(`${url}/classify`)],
  ];

  const form = (files: readonly Buffer[]): FormData => {
    const data = new FormData();
    files.forEach((bytes, i) => {
      data.append(`image${i}`, new Blob([new Uint8Array(bytes)], { type: 'image/png' }), 'a.png');
    });
    return data;
  };

  it('is said in the same JSON always, and the server goes on', async () => {
    const url = await serve({ MAX_UPLOAD_BYTES: 10_000 });
    for (const [what, status, code, request] of wrong) {
      const answer = await request(url);
      expect({ what, status: answer.status, code: answer.body.error?.code }).toEqual({
        what,
        status,
        code,
      });
      expect(answer.body.error?.message).toMatch(/^[A-Z].*\.$/s);
      expect(answer.body.requestId).toMatch(/^[\da-f-]{36}$/);
    }
    expect((await upload(url, bright)).status).toBe(200);
    await eventually(async () => (await working(url)) === 0);
  });

  it('is said of an endless upload as soon as it is too long', async () => {
    const url = await serve({ MAX_UPLOAD_BYTES: 10_000 });
    let sent = 0;
    const head =
      'POST /classify HTTP/1.1\r\nhost: a\r\ncontent-type: image/jpeg\r\ntransfer-encoding: chunked\r\n\r\n';
    const { socket, answer } = raw(url, head);
    const flood = setInterval(() => {
      if (!socket.writable) return;
      sent += 4096;
      socket.write(`1000\r\n${'a'.repeat(4096)}\r\n`);
    }, 2);
    try {
      const text = await answer;
      expect(text).toMatch(/^HTTP\/1\.1 413 /);
      expect(text).toContain('"code":"too_large"');
    } finally {
      clearInterval(flood);
    }
    expect(sent).toBeLessThan(1_000_000);
    await eventually(async () => (await working(url)) === 0);
  });

  it('is said to what is not HTTP too', async () => {
    const url = await serve();
    const answer = await raw(url, noise(2000)).answer;
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"bad_request"');
  });
});

describe('limits', () => {
  it('send away whom there is no room for, and let the next one in', async () => {
    const url = await serve({ MAX_CONCURRENT: 2 });
    const open = classifier.hold();
    const inside = [upload(url, bright), upload(url, bright)];
    await eventually(async () => (await working(url)) === 2);
    const { status, headers, body } = await upload(url, bright);
    expect({ status, code: body.error?.code, retry: headers.get('retry-after') }).toEqual({
      status: 503,
      code: 'busy',
      retry: '1',
    });
    // Its health does not suffer.
    expect((await send(`${url}/health`)).status).toBe(200);
    open();
    expect((await Promise.all(inside)).map((answer) => answer.status)).toEqual([200, 200]);
    await eventually(async () => (await working(url)) === 0);
    expect((await upload(url, bright)).status).toBe(200);
  });

  it('end a request that takes too long with 504, and its place is free', async () => {
    const clock = new ManualClock();
    const url = await serve({ TIMEOUT_MS: 3_600_000, BATCH_WAIT_MS: 0 }, clock);
    const open = classifier.hold();
    const answer = upload(url, bright);
    await eventually(() => classifier.begun() === 1);
    clock.advance(3_600_000);
    const { status, body } = await answer;
    expect({ status, code: body.error?.code }).toEqual({ status: 504, code: 'timeout' });
    await eventually(async () => (await working(url)) === 0);
    expect(clock.timers).toBe(0);
    open();
  });

  it('end an upload that only trickles in', async () => {
    const url = await serve({ TIMEOUT_MS: 200 });
    const head =
      'POST /classify HTTP/1.1\r\nhost: a\r\ncontent-type: image/jpeg\r\ncontent-length: 5000\r\n\r\n';
    const { socket, answer } = raw(url, head);
    const drip = setInterval(() => socket.write('a'), 20);
    try {
      expect(await answer).toMatch(/^HTTP\/1\.1 408 /);
    } finally {
      clearInterval(drip);
    }
    await eventually(async () => (await working(url)) === 0);
  });

  it('forget a client that hangs up, before it costs an inference', async () => {
    const url = await serve({ MAX_BATCH: 1 });
    const open = classifier.hold();
    const first = upload(url, bright);
    await eventually(() => classifier.begun() === 1);
    const head = `POST /classify HTTP/1.1\r\nhost: a\r\ncontent-type: image/jpeg\r\ncontent-length: ${bright.length}\r\n\r\n`;
    const { socket } = raw(url, Buffer.concat([Buffer.from(head), bright]));
    await eventually(
      async () => ((await send(`${url}/ready`)).body as { waiting?: number }).waiting === 1,
    );
    socket.destroy();
    await eventually(async () => (await working(url)) === 1);
    open();
    await first;
    expect(classifier.batches).toEqual([1]);
  });
});

describe('uploads that are dragged out', () => {
  const head = (more: string) => `POST /classify HTTP/1.1\r\nhost: a\r\n${more}`;
  const body = head('content-type: image/jpeg\r\ncontent-length: 5000\r\n\r\n');
  const form = head(
    'content-type: multipart/form-data; boundary=x\r\ncontent-length: 5000\r\n\r\n--x',
  );
  const uploading = async (url: string): Promise<number> =>
    ((await send(`${url}/ready`)).body as { uploading?: number }).uploading ?? -1;

  it('shut nobody out, and end at their deadline', async () => {
    const url = await serve({ MAX_CONCURRENT: 4, TIMEOUT_MS: 20_000 });
    const slow = Array.from({ length: 150 }, (_, i) =>
      raw(url, [body, form, head('x-slow: ')][i % 3] ?? ''),
    );
    await eventually(async () => (await uploading(url)) === 100);
    const drip = setInterval(() => {
      for (const { socket } of slow) socket.write('a');
    }, 50);
    try {
      for (let i = 0; i < 8; i++) expect((await upload(url, bright)).status).toBe(200);
      expect(await working(url)).toBe(0);
      expect(await uploading(url)).toBe(100);
    } finally {
      clearInterval(drip);
      for (const { socket } of slow) socket.destroy();
    }
    await eventually(async () => (await uploading(url)) === 0);
  });

  it('are ended at their deadline, header or body', async () => {
    const url = await serve({ TIMEOUT_MS: 300 });
    const slow = [body, form, head('x-slow: ')].map((text) => raw(url, text));
    const drip = setInterval(() => {
      for (const { socket } of slow) socket.write('a');
    }, 20);
    try {
      for (const { answer } of slow) expect(await answer).toMatch(/^HTTP\/1\.1 (408|504) /);
    } finally {
      clearInterval(drip);
    }
    await eventually(async () => (await uploading(url)) === 0);
  });

  it('give way to a new one when there are too many of them', async () => {
    const url = await serve({ MAX_UPLOADING: 3, SLOW_AFTER_MS: 1, TIMEOUT_MS: 60_000 });
    const slow = Array.from({ length: 3 }, () => raw(url, body));
    await eventually(async () => (await uploading(url)) === 3);
    await sleep(5);
    expect((await upload(url, bright)).status).toBe(200);
    const ended = await Promise.race(slow.map(({ answer }) => answer));
    expect(ended).toMatch(/^HTTP\/1\.1 408 /);
    await eventually(async () => (await uploading(url)) === 2);
    for (const { socket } of slow) socket.destroy();
  });

  it('are not thought slow before their time: the new one is sent away', async () => {
    const url = await serve({ MAX_UPLOADING: 1, SLOW_AFTER_MS: 3_600_000, TIMEOUT_MS: 60_000 });
    const { socket } = raw(url, body);
    await eventually(async () => (await uploading(url)) === 1);
    const { status, headers } = await upload(url, bright);
    expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    socket.destroy();
  });

  it('hold no more bytes than there is memory for', async () => {
    const url = await serve({ MAX_CONCURRENT: 1, MAX_UPLOAD_BYTES: 10_000, TIMEOUT_MS: 60_000 });
    const large = head('content-type: image/jpeg\r\ncontent-length: 9000\r\n\r\n');
    const part = Buffer.concat([Buffer.from(large), Buffer.alloc(6000)]);
    const small = Buffer.concat([Buffer.from(large), Buffer.alloc(100)]);
    const others = [small, small].map((text) => raw(url, text));
    await eventually(async () => (await uploading(url)) === 2);
    const two = [part, part].map((text) => raw(url, text));
    expect(await Promise.race(two.map(({ answer }) => answer))).toMatch(/^HTTP\/1\.1 408 /);
    expect(await uploading(url)).toBe(3);
    for (const { socket } of [...others, ...two]) socket.destroy();
  });
});

describe('a server', () => {
  it('is alive before its model is loaded, and ready after', async () => {
    let loaded = (): void => undefined;
    let starting: Promise<RunningServer> | undefined;
    const url = await new Promise<string>((listening, failed) => {
      starting = startServer(fakeConfig(), (at) => {
        listening(at);
        return new Promise((resolve) => {
          loaded = () => {
            resolve(fakeClassifier());
          };
        });
      });
      starting.catch(failed);
    });
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(await send(`${url}/ready`)).toMatchObject({ status: 503, body: { status: 'loading' } });
    expect(await upload(url, bright)).toMatchObject({
      status: 503,
      body: { error: { code: 'loading' } },
    });
    loaded();
    server = await starting;
    expect(await send(`${url}/ready`)).toMatchObject({ status: 200, body: { status: 'ready' } });
  });

  it('finishes what it has when it is stopped, takes nothing new, and frees the model last', async () => {
    const url = await serve();
    // Were a connection kept, the test would not end.
    if (server) server.app.server.keepAliveTimeout = 3_600_000;
    const open = classifier.hold();
    const inFlight = [upload(url, bright), upload(url, dark, 'image/png')];
    await eventually(async () => (await working(url)) === 2);
    const stopped = server?.stop();
    await eventually(() =>
      fetch(`${url}/health`).then(
        () => false,
        () => true,
      ),
    );
    expect(classifier.released()).toBe(false);
    open();
    const answers = await Promise.all(inFlight);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    // Else the client would keep the connection, and the server.
    expect(answers.map(({ headers }) => headers.get('connection'))).toEqual(['close', 'close']);
    await stopped;
    expect(classifier.released()).toBe(true);
    server = undefined;
  });

  it('says that it is not ready while it drains, and still serves', async () => {
    const clock = new ManualClock();
    const url = await serve({ DRAIN_MS: 300, BATCH_WAIT_MS: 0 }, clock);
    const stopped = server?.stop();
    expect(await send(`${url}/ready`)).toMatchObject({ status: 503, body: { status: 'draining' } });
    expect((await upload(url, bright)).status).toBe(200);
    clock.advance(300);
    await stopped;
    server = undefined;
  });

  it('does not let what waits for company wait on when it is stopped', async () => {
    // The clock stands still: nobody but the end can make a batch of them.
    const url = await serve({ BATCH_WAIT_MS: 3_600_000 }, new ManualClock());
    const answers = [upload(url, bright), upload(url, dark, 'image/png')];
    await eventually(
      async () => ((await send(`${url}/ready`)).body as { waiting?: number }).waiting === 2,
    );
    const stopped = server?.stop();
    expect((await Promise.all(answers)).map(({ body }) => body.timing?.batch)).toEqual([2, 2]);
    await stopped;
    server = undefined;
  });
});
