import type { TripletPicture } from '../data/triplets.ts';
import type { Family } from '../model/families.ts';
import type { ImageInputs } from '../model/qwen25vl.ts';
import { joinImages } from '../train/examples.ts';
import { type Group, promptRow, type Response } from './groups.ts';

/** A response with the group that it is of. */
export interface Member {
  group: Group;
  response: Response;
}

/** Responses of a group that are seen with the same picture: its prompt is computed once for them. */
export interface SeenTogether {
  group: Group;
  picture: TripletPicture;
  responses: (readonly number[])[];
}

/** The responses of groups, in order. */
export const membersOf = (groups: readonly Group[]): Member[] =>
  groups.flatMap((group) => group.responses.map((response) => ({ group, response })));

/** Consecutive parts of a list, of so many each; the last may have fewer. */
export function partsOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}

/**
 * Puts consecutive responses together that are seen with the same picture; their order stays.
 * @param pictureOf the picture that a response is seen with
 */
export function seenTogether(
  members: readonly Member[],
  pictureOf: (response: Response) => TripletPicture,
): SeenTogether[] {
  const seen: SeenTogether[] = [];
  for (const { group, response } of members) {
    const picture = pictureOf(response);
    const last = seen.at(-1);
    if (last?.group === group && last.picture === picture) last.responses.push(response.tokens);
    else seen.push({ group, picture, responses: [response.tokens] });
  }
  return seen;
}

/** The same as the model takes it: families, and the pictures of their prompts. */
export const familiesOf = (seen: readonly SeenTogether[]): { families: Family[]; images: ImageInputs } => ({
  families: seen.map(({ group, picture, responses }) => ({ prompt: promptRow(group, picture), responses })),
  images: joinImages(seen.map(({ group, picture }) => group.images[picture])),
});
