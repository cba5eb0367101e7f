import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HubApiError, listFiles, type ListFileEntry, modelInfo } from '@huggingface/hub';
import { ConfigError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { type Progress, startProgress } from '../common/progress.ts';

/* What a model needs of its repository. */
const NEEDED = /^[^/]+\.(json|safetensors|jinja)$|^merges\.txt$/;
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;
const MIB = 2 ** 20;

const setting = (name: string): string | undefined => {
  const value = process.env[name];
  return value === '' ? undefined : value;
};
const home = (): string =>
  setting('HF_HOME') ?? join(setting('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
const cacheFolder = (): string => setting('HF_HUB_CACHE') ?? join(home(), 'hub');
const endpoint = (): string => (setting('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/$/, '');
const isOffline = (): boolean => /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');

/**
 * The folder of a model: a local one as it is, or that of a hub id (`owner/name`) in the usual Hugging Face cache, into
 * which it is downloaded first. A download that was cut goes on where it ended. Where the hub cannot be reached, or
 * `HF_HUB_OFFLINE` is set, what is in the cache is used.
 *
 * @throws ConfigError if there is neither a folder nor such a model, or access to it is refused
 */
export async function resolveModel(
  model: string,
  { revision = 'main', signal }: { revision?: string; signal?: AbortSignal } = {},
): Promise<string> {
  if (existsSync(model)) return model;
  if (!HUB_ID.test(model)) {
    throw new ConfigError(
      `There is no folder ${model}, and it is no hub id (owner/name) either. Give one of the two.`,
    );
  }
  const storage = join(cacheFolder(), `models--${model.replace('/', '--')}`);
  if (isOffline()) return await cached(model, storage, revision, 'HF_HUB_OFFLINE is set');
  try {
    return await download(model, storage, revision, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof HubApiError) throw refusal(model, error);
    if (!isNetworkError(error)) throw error;
    const folder = await cached(
      model,
      storage,
      revision,
      `${endpoint()} cannot be reached: ${causeOf(error)}`,
    );
    log.warn(`${endpoint()} cannot be reached (${causeOf(error)}): ${model} is used as it is in the cache.`);
    return folder;
  }
}

/* undici's fetch hides what went wrong in its cause. */
const isNetworkError = (error: unknown): error is Error =>
  error instanceof Error && (error.message === 'fetch failed' || error.message === 'terminated');
const causeOf = (error: Error): string =>
  error.cause === undefined ? error.message : messageOf(error.cause);

function refusal(model: string, error: HubApiError): ConfigError {
  const hint =
    error.statusCode === 404
      ? 'There is no such model or revision.'
      : error.statusCode === 401 || error.statusCode === 403
        ? 'Set HF_TOKEN to a token that may read it (and accept its terms on its page).'
        : 'Try again later.';
  return new ConfigError(`${endpoint()} refuses ${model} with status ${error.statusCode}. ${hint}`);
}

/* The snapshot in the cache that a revision stood for when it was last asked for. */
async function cached(model: string, storage: string, revision: string, why: string): Promise<string> {
  const commit = await readFile(join(storage, 'refs', revision), 'utf8').catch(() => revision);
  const folder = join(storage, 'snapshots', commit.trim());
  if (existsSync(join(folder, 'config.json'))) return folder;
  throw new ConfigError(
    `${model} is not in the cache (${storage}), and ${why}. Connect once, or give the folder of the model.`,
  );
}

async function token(): Promise<string | undefined> {
  const named = setting('HF_TOKEN');
  if (named !== undefined) return named;
  const text = await readFile(setting('HF_TOKEN_PATH') ?? join(home(), 'token'), 'utf8').catch(() => '');
  return text.trim() === '' ? undefined : text.trim();
}

interface Access {
  repo: { type: 'model'; name: string };
  hubUrl: string;
  accessToken?: string;
}

async function download(
  model: string,
  storage: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const accessToken = await token();
  const access: Access = {
    repo: { type: 'model', name: model },
    hubUrl: endpoint(),
    ...(accessToken !== undefined && { accessToken }),
  };
  const { sha: commit } = await modelInfo({
    name: model,
    hubUrl: access.hubUrl,
    additionalFields: ['sha'],
    revision,
    ...(accessToken !== undefined && { accessToken }),
  });
  const files: ListFileEntry[] = [];
  for await (const file of listFiles({ ...access, revision: commit })) {
    if (file.type === 'file' && NEEDED.test(file.path)) files.push(file);
  }
  const folder = join(storage, 'snapshots', commit);
  const missing = files.filter(({ path }) => !existsSync(join(folder, path)));
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  if (missing.length > 0) {
    log.info(`Downloading ${model} (${missing.length} files, ${(total / MIB).toFixed(0)} MiB) to ${storage}`);
    using progress = startProgress('Downloading', Math.max(1, Math.round(total / MIB)), 'MiB');
    let done = 0;
    for (const file of missing) {
      await fetchFile(access, storage, commit, file, done, progress, signal);
      done += file.size;
    }
  }
  await mkdir(join(storage, 'refs'), { recursive: true });
  await writeFile(join(storage, 'refs', revision), commit);
  return folder;
}

/* Fetches a file into `blobs`, going on where an earlier try ended, and links it into the snapshot. */
async function fetchFile(
  { repo, hubUrl, accessToken }: Access,
  storage: string,
  commit: string,
  file: ListFileEntry,
  doneBefore: number,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const blob = join(storage, 'blobs', file.lfs?.oid ?? file.oid ?? `${commit}-${file.path}`);
  const pointer = join(storage, 'snapshots', commit, file.path);
  await Promise.all([blob, pointer].map((path) => mkdir(dirname(path), { recursive: true })));
  if (!existsSync(blob)) {
    const partial = `${blob}.incomplete`;
    const have = await stat(partial).then(({ size }) => size, () => 0); // prettier-ignore
    if (have < file.size) {
      const response = await fetch(`${hubUrl}/${repo.name}/resolve/${commit}/${file.path}`, {
        headers: {
          ...(have > 0 && { Range: `bytes=${have}-` }),
          ...(accessToken !== undefined && { Authorization: `Bearer ${accessToken}` }),
        },
        ...(signal && { signal }),
      });
      if (!response.ok || response.body === null) {
        throw new HubApiError(response.url, response.status);
      }
      // 206: the rest; 200: all of it, from a server that knows no ranges.
      const goesOn = response.status === 206;
      let received = doneBefore + (goesOn ? have : 0);
      const body = Readable.fromWeb(response.body);
      body.on('data', (chunk: Buffer) => {
        received += chunk.length;
        progress.update(Math.round(received / MIB));
      });
      await pipeline(body, createWriteStream(partial, { flags: goesOn ? 'a' : 'w' }));
    }
    await assertSize(partial, file);
    await rename(partial, blob);
  }
  await symlink(relative(dirname(pointer), blob), pointer);
}

async function assertSize(partial: string, { path, size }: ListFileEntry): Promise<void> {
  const found = (await stat(partial)).size;
  if (found === size) return;
  if (found > size) await rm(partial);
  throw new ConfigError(
    `${path} arrived with ${found} bytes instead of ${size}. Run the command again: it goes on from there.`,
  );
}
