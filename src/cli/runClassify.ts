import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { loadModel, type Model } from '../api/loadModel.ts';
import { readCandidates } from '../classify/candidates.ts';
import { assertMinProbability, type Classification, classify } from '../classify/classify.ts';
import { INSTRUCTION, QUESTION } from '../classify/prompt.ts';
import {
  type Asked,
  type ClassifyRecord,
  describeImage,
  describeVersions,
  toRecord,
} from '../classify/record.ts';
import { ConfigError, DataError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { startProgress } from '../common/progress.ts';
import { resolveModel } from '../data/hub.ts';
import { hashModel } from '../train/run/provenance.ts';
import type { ClassifyArguments } from './classify.ts';
import { abortOnSignal } from './interrupt.ts';

const STDIN = '-';
const PICTURES = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif', '.svg']);

/** Classifies the pictures one after the other, and prints what they show. */
export async function runClassify(options: ClassifyArguments): Promise<void> {
  const asked = askedBy(options);
  const images = imagesOf(options.image);
  await abortOnSignal(async (signal) => {
    const folder = await resolveModel(options.model, { signal });
    using model = await loadModel(folder);
    const known = {
      model: { name: options.model, ...(await hashModel(folder)) },
      versions: describeVersions(folder, model.backend),
    };
    const one = async (path: string): Promise<void> => {
      const image = await readImage(path);
      const result = await classifyOne(model, path, image, asked, signal);
      const record = toRecord(result, { ...known, image: describeImage(path, image) }, asked);
      process.stdout.write(options.json ? `${JSON.stringify(record)}\n` : inWords(record));
      if (record.truncated) {
        log.warn(
          `${path}: cut at ${asked.maxNewTokens} tokens, before the answer; give more with --max-new-tokens.`,
        );
      }
    };
    if (typeof images === 'string') await one(images);
    else await each(images, one);
  });
}

/* What cannot be used does not keep the others from being classified. */
async function each(images: readonly string[], one: (path: string) => Promise<void>): Promise<void> {
  using progress = startProgress('Classifying', images.length, 'pictures');
  let broken = 0;
  for (const [i, path] of images.entries()) {
    try {
      await one(path);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      broken++;
      log.error(error.message);
    }
    progress.update(i + 1);
  }
  if (broken === 0) return;
  throw new DataError(
    `${broken} of ${images.length} pictures cannot be used; they are named above. Replace them, or take them out.`,
  );
}

function askedBy(options: ClassifyArguments): Asked {
  const { question = QUESTION, instruction = INSTRUCTION, minProbability, maxNewTokens } = options;
  if ((options.candidates === undefined) !== options.open) {
    throw new ConfigError(
      options.open
        ? '--open asks for any name, but --candidates gives names to choose from. Leave one of them out.'
        : 'There is nothing to choose from. Give --candidates a,b,c, a file of them, or --open for any name.',
    );
  }
  const candidates = options.candidates === undefined ? null : readCandidates(options.candidates);
  assertMinProbability(minProbability, candidates !== null);
  return { question, instruction, candidates, minProbability, maxNewTokens };
}

/* The pictures of a folder, sorted; or the only one. */
function imagesOf(path: string): string | string[] {
  if (path === STDIN) return path;
  if (!existsSync(path)) {
    throw new DataError(`There is no picture ${path}. Give a picture, a folder of them, or - for stdin.`);
  }
  if (!statSync(path).isDirectory()) return path;
  const images = readdirSync(path)
    .filter((name) => PICTURES.has(extname(name).toLowerCase()))
    .sort();
  if (images.length > 0) return images.map((name) => join(path, name));
  throw new DataError(
    `${path} holds no pictures (${[...PICTURES].join(', ')}); folders in it are not looked into. Give a folder of pictures.`,
  );
}

async function readImage(path: string): Promise<Uint8Array> {
  if (path === STDIN) return await buffer(process.stdin);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new DataError(`${path} cannot be read: ${messageOf(error)}.`);
  }
}

async function classifyOne(
  model: Model,
  path: string,
  image: Uint8Array,
  { candidates, ...options }: Asked,
  signal: AbortSignal,
): Promise<Classification> {
  try {
    return await classify(model, image, candidates, { ...options, signal });
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${path}: ${error.message}`);
    throw error;
  }
}

const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;

/* Two that differ, with as many digits as it takes to see it. */
function apart(share: number, other: number): [string, string] {
  for (let digits = 1; ; digits++) {
    const texts: [string, string] = [percent(share, digits), percent(other, digits)];
    if (texts[0] !== texts[1] || digits === MOST_DIGITS) return texts;
  }
}
const MOST_DIGITS = 12;

/* `picture: name (91.2 %; next: other name, 6.0 %)` */
function inWords({ image, label, probabilities, minProbability, refused }: ClassifyRecord): string {
  if (probabilities === null) return `${image.path}: ${label ?? 'refused (the response has no answer)'}\n`;
  const [best, next] = Object.entries(probabilities).sort(([, a], [, b]) => b - a) as [
    [string, number],
    [string, number],
  ];
  const runnerUp = `next: ${next[0]}, ${percent(next[1])}`;
  const [probability, least] = apart(best[1], minProbability);
  return refused
    ? `${image.path}: refused (${best[0]}, ${probability}, is below ${least}; ${runnerUp})\n`
    : `${image.path}: ${label} (${percent(best[1])}; ${runnerUp})\n`;
}
