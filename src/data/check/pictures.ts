import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import sharp from 'sharp';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import type { ImageSource } from '../image/decode.ts';
import { measureImage } from '../image/measure.ts';
import { mapAhead } from '../image/pool.ts';

/** What a picture is found to be. */
export type Inspection =
  { state: 'missing' } | { state: 'broken'; why: string } | { state: 'whole'; tokens: number; hash: Hash };

/** 256 bits, or undefined of a picture that is all one colour. */
export type Hash = Uint32Array | undefined;

/** A picture of the data, wherever and however often it is used. */
export interface KnownPicture {
  name: string;
  splits: Set<'train' | 'test'>;
  inspection: Inspection | undefined;
}

/** Pictures by path or content. */
export interface Pictures {
  /** Bytes are looked at on the spot, and not kept. */
  add(source: ImageSource, split: 'train' | 'test', name: string): Promise<KnownPicture>;
  /** Looks at those that were added by path. */
  inspect(onProgress?: (done: number, total: number) => void): Promise<void>;
  all(): KnownPicture[];
}

const AHEAD = 8;

/** Starts without pictures. */
export function createPictures(config: ImageConfig, quirks: ImageQuirks): Pictures {
  const known = new Map<string, KnownPicture>();
  return {
    add: async (source, split, name) => {
      const key = typeof source === 'string' ? source : createHash('sha256').update(source).digest('base64');
      const picture = known.get(key) ?? { name, splits: new Set(), inspection: undefined };
      known.set(key, picture);
      picture.splits.add(split);
      if (typeof source !== 'string') picture.inspection ??= await inspect(source, config, quirks);
      return picture;
    },
    inspect: async (onProgress) => {
      const left = [...known].filter(([, { inspection }]) => inspection === undefined);
      let done = 0;
      const look = async ([path, picture]: [string, KnownPicture]): Promise<number> => {
        picture.inspection = await inspect(path, config, quirks);
        return 1;
      };
      for await (const one of mapAhead(left, look, AHEAD)) onProgress?.((done += one), left.length);
    },
    all: () => [...known.values()],
  };
}

async function inspect(source: ImageSource, config: ImageConfig, quirks: ImageQuirks): Promise<Inspection> {
  if (typeof source === 'string') {
    try {
      await access(source);
    } catch {
      return { state: 'missing' };
    }
  }
  try {
    const [time, rows, columns] = await measureImage(source, config, quirks);
    return {
      state: 'whole',
      tokens: (time * rows * columns) / config.mergeSize ** 2,
      hash: await hashOf(source),
    };
  } catch (error) {
    const why =
      error instanceof DataError
        ? error.message.replace(/^.*cannot be used as a picture: /, '')
        : messageOf(error);
    return { state: 'broken', why: (why.trim().split('\n')[0] ?? '').replace(/\.$/, '') };
  }
}

const ROWS = 16;
const COLUMNS = 17;
const WORD_BITS = 32;
/* Of 255: what differs by less is noise of the file's compression. */
const FLAT = 8;

/* dHash (Krawetz): whether each of 16 x 17 grey points is brighter than the one to its right. Decodes all of the picture. */
async function hashOf(source: ImageSource): Promise<Hash> {
  const grey = await sharp(source)
    .flatten({ background: 'white' })
    .greyscale()
    .resize(COLUMNS, ROWS, { fit: 'fill' })
    .raw()
    .toBuffer();
  if (Math.max(...grey) - Math.min(...grey) < FLAT) return undefined;
  const hash = new Uint32Array((ROWS * (COLUMNS - 1)) / WORD_BITS);
  for (let bit = 0; bit < ROWS * (COLUMNS - 1); bit++) {
    const at = Math.floor(bit / (COLUMNS - 1)) * COLUMNS + (bit % (COLUMNS - 1));
    const isBrighter = (grey[at] ?? 0) > (grey[at + 1] ?? 0);
    if (isBrighter) hash[bit >> 5] = (hash[bit >> 5] ?? 0) | (1 << (bit & 31));
  }
  return hash;
}

/* Bits of 256 in which copies may differ that were scaled or compressed again. */
const MAX_DISTANCE = 12;

/** Pairs of a training and a test picture that look the same: copies, scaled or compressed again. */
export function findDuplicates(
  pictures: readonly KnownPicture[],
): [train: KnownPicture, test: KnownPicture][] {
  const of = (split: 'train' | 'test'): [KnownPicture, Uint32Array][] =>
    pictures.flatMap((picture) => {
      const hash = picture.inspection?.state === 'whole' ? picture.inspection.hash : undefined;
      return picture.splits.has(split) && hash !== undefined ? [[picture, hash]] : [];
    });
  const tests = of('test');
  const same = pictures.filter(({ splits }) => splits.size === 2).map((picture) => [picture, picture]);
  const alike = of('train').flatMap(([picture, hash]) =>
    tests
      .filter(([other, otherHash]) => other !== picture && isWithin(hash, otherHash, MAX_DISTANCE))
      .map(([other]) => [picture, other]),
  );
  return [...same, ...alike] as [KnownPicture, KnownPicture][];
}

/** Whether two hashes differ in at most so many bits. */
export function isWithin(a: Uint32Array, b: Uint32Array, most: number): boolean {
  let distance = 0;
  for (let i = 0; i < a.length; i++) {
    distance += bitsOf((a[i] ?? 0) ^ (b[i] ?? 0));
    if (distance > most) return false;
  }
  return true;
}

function bitsOf(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
