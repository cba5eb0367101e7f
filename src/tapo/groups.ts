import type { ProcessedImage } from '../data/image/process.ts';
import type { ImagePool } from '../data/image/pool.ts';
import { PICTURES_OF_TRIPLET, type TripletPicture, type TripletPrompts } from '../data/triplets.ts';
import type { Row } from '../model/positions.ts';
import type { Reward } from './reward.ts';

/** A response that the policy drew. */
export interface Response {
  /** the picture that it was drawn on */
  picture: 'anchor' | 'positive';
  /** its number among those on the picture */
  sample: number;
  /** the stop token included */
  tokens: readonly number[];
  /** of each token when it was drawn, at the temperature */
  logProbs: readonly number[];
  /** cut at the limit */
  truncated: boolean;
  text: string;
  reward: Reward;
}

/** A triplet with its pictures read. */
export interface LoadedTriplet {
  /** its number among the rows */
  number: number;
  triplet: TripletPrompts;
  images: Record<TripletPicture, ProcessedImage>;
}

/** The responses of a triplet: one group, with one baseline (intra-class augmentation; paper, section 3.2). */
export interface Group extends LoadedTriplet {
  responses: readonly Response[];
}

/** Reads the pictures of a triplet. @throws DataError that names a file that cannot be used */
export async function loadTriplet(
  number: number,
  triplet: TripletPrompts,
  pool: ImagePool,
): Promise<LoadedTriplet> {
  const [anchor, positive, negative] = (await Promise.all(
    PICTURES_OF_TRIPLET.map((picture) => pool.process(triplet[picture].image)),
  )) as [ProcessedImage, ProcessedImage, ProcessedImage];
  return { number, triplet, images: { anchor, positive, negative } };
}

/** The prompt about one of a triplet's pictures, as the decoder takes it. */
export const promptRow = ({ triplet, images }: LoadedTriplet, picture: TripletPicture): Row => ({
  ids: triplet[picture].ids,
  grids: [images[picture].gridThw],
});
