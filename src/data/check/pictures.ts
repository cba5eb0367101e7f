import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { DataError, messageOf } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
import type { ImageSource } from '../image/decode.ts';
import { measureImage } from '../image/measure.ts';
import { mapAhead } from '../image/pool.ts';
import { isCopy, type Look, lookOf } from './looks.ts';

/** What a picture is found to be. */
export type Inspection =
  | { state: 'missing' }
  | { state: 'broken'; why: string }
  | { state: 'whole'; tokens: number; look: Look | undefined };

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
      look: await lookOf(source),
    };
  } catch (error) {
    const why =
      error instanceof DataError
        ? error.message.replace(/^.*cannot be used as a picture: /, '')
        : messageOf(error);
    return { state: 'broken', why: (why.trim().split('\n')[0] ?? '').replace(/\.$/, '') };
  }
}

/** Pairs of a training and a test picture that look the same: copies, scaled or compressed again. */
export function findDuplicates(
  pictures: readonly KnownPicture[],
): [train: KnownPicture, test: KnownPicture][] {
  const of = (split: 'train' | 'test'): [KnownPicture, Look][] =>
    pictures.flatMap((picture) => {
      const look = picture.inspection?.state === 'whole' ? picture.inspection.look : undefined;
      return picture.splits.has(split) && look !== undefined ? [[picture, look]] : [];
    });
  const tests = of('test');
  const same = pictures
    .filter(({ splits }) => splits.size === 2)
    .map((picture): [KnownPicture, KnownPicture] => [picture, picture]);
  const alike = of('train').flatMap(([picture, look]) =>
    tests
      .filter(([other, otherLook]) => other !== picture && isCopy(look, otherLook))
      .map(([other]): [KnownPicture, KnownPicture] => [picture, other]),
  );
  return [...same, ...alike];
}
