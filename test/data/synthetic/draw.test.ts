import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/common/random.ts';
import { PICTURES, RELEASED } from '../../../src/config/image.ts';
import { decode } from '../../../src/data/image/decode.ts';
import type { Pixels } from '../../../src/data/image/resize.ts';
import { allBirds, type Bird, FAMILIES, valuesOf, withPart } from '../../../src/data/synthetic/birds.ts';
import { encodePng } from '../../../src/data/image/encode.ts';
import { drawBird } from '../../../src/data/synthetic/draw.ts';

const { normal, hard } = FAMILIES;
const BIRD: Bird = { crest: 'smooth', wing: 'plain', breast: 'gold', cap: 'red', tail: 'short' };
const STILL = { variation: 0 };

const draw = (bird: Bird, number: number, size = 84): Promise<Pixels> =>
  drawBird(bird, createRandom(1, 'draw', number), normal, size);
/* Pixels in which two pictures differ by more than 40 of 255 in a channel. */
function changed(a: Pixels, b: Pixels): number {
  let count = 0;
  for (let i = 0; i < a.data.length; i += 3) {
    if ([0, 1, 2].some((c) => Math.abs((a.data[i + c] ?? 0) - (b.data[i + c] ?? 0)) > 40)) count++;
  }
  return count;
}

describe('a drawn bird', () => {
  it('is the same picture for the same key, another for another', async () => {
    const [first, again, other] = [await draw(BIRD, 0), await draw(BIRD, 0), await draw(BIRD, 1)];
    expect(again).toEqual(first);
    expect(changed(first, other)).toBeGreaterThan(1000);
  });

  it.each([28, 84, 112, 200])('has the size that was asked for: %d', async (size) => {
    const { width, height, data } = await draw(BIRD, 2, size);
    expect([width, height, data.length]).toEqual([size, size, 3 * size * size]);
  });

  it('shows a change of each look in at least 35 of 7056 pixels, all else being equal', async () => {
    for (const part of hard.parts) {
      const values = valuesOf(part);
      for (const [i, from] of values.entries()) {
        for (const to of values.slice(i + 1)) {
          const pictures = [from, to].map((value) =>
            drawBird(withPart(BIRD, part, value), createRandom(1, 'look'), STILL, 84),
          );
          const [a, b] = (await Promise.all(pictures)) as [Pixels, Pixels];
          expect(changed(a, b), `${part} ${from} or ${to}`).toBeGreaterThanOrEqual(35);
        }
      }
    }
  });

  it('differs more from picture to picture where the variation is larger', async () => {
    const spread = async (variation: number): Promise<number> => {
      const pictures = await Promise.all(
        [0, 1, 2, 3, 4, 5].map((i) => drawBird(BIRD, createRandom(1, 'spread', i), { variation }, 84)),
      );
      const means = pictures.map(({ data }) => data.reduce((sum, value) => sum + value, 0) / data.length);
      return Math.max(...means) - Math.min(...means);
    };
    expect(await spread(1.4)).toBeGreaterThan(await spread(0.2));
  });

  it('survives its PNG file, however it is read', async () => {
    for (const [i, bird] of allBirds(normal).entries()) {
      const pixels = await draw(bird, i);
      const png = await encodePng(pixels);
      for (const quirks of [RELEASED, PICTURES]) {
        const read = await decode(png, quirks);
        expect(Buffer.compare(read.data, pixels.data)).toBe(0);
      }
    }
  });
});
