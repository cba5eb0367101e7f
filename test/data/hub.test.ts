import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveModel } from '../../src/data/hub.ts';

const COMMIT = 'c0ffee'.padEnd(40, '0');
const FILES: Record<string, Buffer> = {
  'config.json': Buffer.from('{"model_type": "qwen2_5_vl"}'),
  'model.safetensors': Buffer.alloc(200_000, 7),
  'README.md': Buffer.from('not needed'),
};
const oidOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** A hub with one model, `maker/bird`. */
interface Hub {
  requests: string[];
  ranges: (string | undefined)[];
  tokens: (string | undefined)[];
  /** cuts the connection after so many bytes of the weights, once */
  cutAfter?: number | undefined;
  refuse?: number;
}

function answer(hub: Hub, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '', 'http://hub');
  hub.requests.push(url.pathname);
  hub.tokens.push(request.headers.authorization);
  const json = (value: unknown): void => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  };
  if (hub.refuse !== undefined) {
    response.statusCode = hub.refuse;
    json({ error: 'refused' });
  } else if (url.pathname.startsWith('/api/models/maker/bird/tree/')) {
    json(
      Object.entries(FILES).map(([path, content]) => ({
        type: 'file',
        path,
        size: content.length,
        oid: oidOf(content),
      })),
    );
  } else if (url.pathname.startsWith('/api/models/maker/bird')) {
    json({
      _id: '1',
      id: 'maker/bird',
      sha: COMMIT,
      private: false,
      gated: false,
      downloads: 0,
      likes: 0,
      lastModified: '2026-01-01',
    });
  } else if (url.pathname.startsWith(`/maker/bird/resolve/${COMMIT}/`)) {
    sendFile(hub, FILES[url.pathname.split('/').at(-1) ?? ''] as Buffer, request, response);
  } else {
    response.statusCode = 404;
    json({ error: 'not found' });
  }
}

function sendFile(hub: Hub, content: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const { range } = request.headers;
  hub.ranges.push(range);
  const from = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  response.statusCode = from > 0 ? 206 : 200;
  const rest = content.subarray(from);
  response.setHeader('content-length', rest.length);
  if (hub.cutAfter === undefined || rest.length < hub.cutAfter) {
    response.end(rest);
    return;
  }
  response.write(rest.subarray(0, hub.cutAfter), () => setTimeout(() => response.destroy(), 50));
  hub.cutAfter = undefined;
}

describe('a model by its hub id', () => {
  let hub: Hub;
  let server: Server;
  let cache: string;
  beforeEach(async () => {
    hub = { requests: [], ranges: [], tokens: [] };
    server = createServer((request, response) => {
      answer(hub, request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cache = mkdtempSync(join(tmpdir(), 'finer1-hub-'));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    vi.stubEnv('HF_HOME', cache);
    vi.stubEnv('HF_HUB_CACHE', '');
    vi.stubEnv('HF_TOKEN', '');
    vi.stubEnv('HF_HUB_OFFLINE', '');
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    server.closeAllConnections();
    server.close();
  });

  it('is downloaded into the usual cache, but for what is not needed', async () => {
    const folder = await resolveModel('maker/bird');
    expect(folder).toBe(join(cache, 'hub/models--maker--bird/snapshots', COMMIT));
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(FILES['model.safetensors'] as Buffer)).toBe(
      true,
    );
    expect(readFileSync(join(cache, 'hub/models--maker--bird/refs/main'), 'utf8')).toBe(COMMIT);
  });

  it('is not downloaded again', async () => {
    await resolveModel('maker/bird');
    const before = hub.ranges.length;
    await resolveModel('maker/bird');
    expect(hub.ranges.length).toBe(before);
  });

  it('goes on where a cut connection ended', async () => {
    hub.cutAfter = 120_000;
    await expect(resolveModel('maker/bird')).rejects.toThrow();
    const folder = await resolveModel('maker/bird');
    expect(hub.ranges.at(-1)).toBe('bytes=120000-');
    expect(readFileSync(join(folder, 'model.safetensors')).equals(FILES['model.safetensors'] as Buffer)).toBe(
      true,
    );
  });

  it('is taken from the cache where the hub cannot be reached, or must not be', async () => {
    const folder = await resolveModel('maker/bird');
    const asked = hub.requests.length;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await resolveModel('maker/bird')).toBe(folder);
    expect(hub.requests.length).toBe(asked);
    vi.stubEnv('HF_HUB_OFFLINE', '');
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9');
    expect(await resolveModel('maker/bird')).toBe(folder);
    await expect(resolveModel('maker/fish')).rejects.toThrow(/maker\/fish is not in the cache/);
  });

  it('is asked for with the token', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    await resolveModel('maker/bird');
    expect(new Set(hub.tokens)).toEqual(new Set(['Bearer hf_secret']));
  });

  it.each([
    [404, /no such model/],
    [401, /Set HF_TOKEN/],
    [403, /Set HF_TOKEN/],
  ])('says what to do about status %d', async (status, message) => {
    hub.refuse = status;
    await expect(resolveModel('maker/bird')).rejects.toThrow(message);
  });

  it('may be a folder, and has to be one of the two', async () => {
    expect(await resolveModel(cache)).toBe(cache);
    await expect(resolveModel('./no/such/folder')).rejects.toThrow(/no folder .* no hub id/);
  });
});
