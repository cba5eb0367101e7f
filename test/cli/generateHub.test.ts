import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runFiner1 } from '../support/cli.ts';
import { makeModelFolder } from '../support/modelFolder.ts';
import { GOLDENS } from '../support/safetensors.ts';

const PICTURE = fileURLToPath(new URL('image/src/exif6_64x48.jpg', GOLDENS));
const COMMIT = 'f1e2'.padEnd(40, '0');
const API = '/api/models/maker/bird';

/** A hub with one model, `maker/bird`: the files of a folder. */
function createHub(folder: string, requests: string[]): Server {
  const files = readdirSync(folder).map((path) => {
    const content = readFileSync(join(folder, path));
    const oid = createHash('sha256').update(content).digest('hex');
    return { content, entry: { type: 'file', path, size: content.length, oid } };
  });
  const info = {
    _id: '1',
    id: 'maker/bird',
    sha: COMMIT,
    private: false,
    gated: false,
    downloads: 0,
    likes: 0,
    lastModified: '2026-01-01',
  };
  return createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://hub');
    requests.push(pathname);
    const json = (value: unknown): void => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    };
    const file = files.find(({ entry }) => pathname === `/maker/bird/resolve/${COMMIT}/${entry.path}`);
    if (file !== undefined) response.end(file.content);
    else if (pathname.startsWith(`${API}/tree/`)) json(files.map(({ entry }) => entry));
    else if (pathname.startsWith(API)) json(info);
    else response.writeHead(404).end();
  });
}

let folder: string;
let cache: string;
let server: Server;
const requests: string[] = [];
beforeAll(async () => {
  folder = makeModelFolder();
  cache = mkdtempSync(join(tmpdir(), 'finer1-hub-'));
  server = createHub(folder, requests);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  for (const made of [folder, cache]) rmSync(made, { recursive: true });
});

/** Asks a model; the answer, less the time that it took. */
async function ask(model: string, env: NodeJS.ProcessEnv = {}): Promise<{ stderr: string; record: unknown }> {
  const options = ['--image', PICTURE, '--prompt', 'What is it?', '--max-new-tokens', '6', '--json'];
  const { code, stdout, stderr } = await runFiner1(['generate', '--model', model, ...options], {
    HF_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    HF_HOME: cache,
    HF_HUB_CACHE: undefined,
    HF_TOKEN: undefined,
    HF_HUB_OFFLINE: undefined,
    ...env,
  });
  expect(code, stderr).toBe(0);
  return { stderr, record: { ...(JSON.parse(stdout) as object), model: '', seconds: 0 } };
}

it('a model answers by its hub id as from its folder: downloaded, from the cache, and without a connection', async () => {
  const { record } = await ask(folder);
  expect(requests).toEqual([]);

  const first = await ask('maker/bird');
  expect(first.record).toEqual(record);
  expect(first.stderr).toMatch(/Downloading maker\/bird/);
  const fetched = requests.filter((path) => path.startsWith('/maker/bird/resolve/'));
  expect(fetched).toHaveLength(readdirSync(folder).length);

  requests.length = 0;
  const second = await ask('maker/bird');
  expect(second.record).toEqual(record);
  expect(requests.some((path) => path.startsWith('/maker/bird/resolve/'))).toBe(false);

  requests.length = 0;
  const offline = await ask('maker/bird', { HF_HUB_OFFLINE: '1' });
  expect(offline.record).toEqual(record);
  expect(requests).toEqual([]);

  const unreachable = await ask('maker/bird', { HF_ENDPOINT: 'http://127.0.0.1:9' });
  expect(unreachable.record).toEqual(record);
  expect(unreachable.stderr).toMatch(
    /127\.0\.0\.1:9 cannot be reached .*maker\/bird is used as it is in the cache/,
  );
});
