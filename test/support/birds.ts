import { fileURLToPath } from 'node:url';
import { createRandom } from '../../src/common/random.ts';
import { allBirds, FAMILIES, nameOf } from '../../src/data/synthetic/birds.ts';
import { encodePng } from '../../src/data/image/encode.ts';
import { drawBird } from '../../src/data/synthetic/draw.ts';

/** The committed model, which describes birds and names none. */
export const TINY_BASE = fileURLToPath(new URL('../../models/tiny-base', import.meta.url));

const BIRDS = allBirds(FAMILIES.normal);
const STEP = 13;

/** PNG files of different kinds of birds, as many as are wanted. */
export const drawPictures = async (count: number): Promise<Uint8Array[]> =>
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const bird = BIRDS[(i * STEP) % BIRDS.length] as (typeof BIRDS)[number];
      return await encodePng(await drawBird(bird, createRandom(1, 'classify', i), FAMILIES.normal, 84));
    }),
  );

/** Names of kinds. */
export const birdNames = (count: number): string[] =>
  BIRDS.slice(0, count).map((bird) => nameOf(bird, FAMILIES.normal));
