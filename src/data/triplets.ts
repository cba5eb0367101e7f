import { DataError, messageOf } from '../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../config/image.ts';
import type { ImageSource } from './image/decode.ts';
import { measureImage } from './image/measure.ts';
import { mapAhead } from './image/pool.ts';
import type { RowOrigin, TripletRow } from './rows.ts';
import { encodePrompt, IMAGE_MARK } from './text/conversation.ts';
import type { Tokenizer } from './text/tokenizer.ts';

/** A triplet's pictures. */
export const PICTURES_OF_TRIPLET = ['anchor', 'positive', 'negative'] as const;
export type TripletPicture = (typeof PICTURES_OF_TRIPLET)[number];

/** A picture with the prompt that asks about it, as tokens; the picture is still a file. */
export interface PicturePrompt {
  image: ImageSource;
  ids: number[];
}

/** A triplet as three prompts with the same question. */
export type TripletPrompts = Record<TripletPicture, PicturePrompt> & {
  origin: RowOrigin;
  /** the question with what follows it, as text */
  prompt: string;
  answer: string;
  /** names that the question lists, if it is known to */
  options: readonly string[];
};

/** How triplets become tokens. */
export interface TripletEncoding {
  tokenizer: Tokenizer;
  imageConfig: ImageConfig;
  quirks: ImageQuirks;
  /** follows each question after a blank line; '': nothing does */
  instruction: string;
  /** a triplet with a longer prompt is left out */
  maxPromptTokens: number;
}

const HEADERS_AHEAD = 16;
const SHOWN = 3;

/**
 * Encodes the questions of triplets, for each of their pictures; of these only the headers are read.
 * @throws DataError that names the first rows that cannot be used, and how many there are; or if none is left
 */
export async function encodeTriplets(
  rows: readonly TripletRow[],
  { tokenizer, imageConfig, quirks, instruction, maxPromptTokens }: TripletEncoding,
): Promise<{ rows: TripletPrompts[]; tooLong: { origin: RowOrigin; tokens: number }[] }> {
  const unusable: string[] = [];
  const encode = async (row: TripletRow): Promise<TripletPrompts | undefined> => {
    const question = row.problem.replaceAll(IMAGE_MARK, '').trim();
    const prompt = instruction === '' ? question : `${question}\n\n${instruction}`;
    const turns = [{ role: 'user' as const, content: IMAGE_MARK + prompt }];
    const promptOf = async (image: ImageSource): Promise<PicturePrompt> => {
      const grid = await measureImage(image, imageConfig, quirks);
      return { image, ids: encodePrompt(tokenizer, turns, [grid], imageConfig.mergeSize) };
    };
    try {
      const [anchor, positive, negative] = (await Promise.all(
        PICTURES_OF_TRIPLET.map((picture) => promptOf(row[picture])),
      )) as [PicturePrompt, PicturePrompt, PicturePrompt];
      const { origin, answer, options = [] } = row;
      return { origin, prompt, answer, options, anchor, positive, negative };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      unusable.push(`${row.origin.file}, row ${row.origin.row}: ${messageOf(error)}`);
      return undefined;
    }
  };
  const usable: TripletPrompts[] = [];
  const tooLong: { origin: RowOrigin; tokens: number }[] = [];
  for await (const row of mapAhead(rows, encode, HEADERS_AHEAD)) {
    if (row === undefined) continue;
    const tokens = Math.max(...PICTURES_OF_TRIPLET.map((picture) => row[picture].ids.length));
    if (tokens <= maxPromptTokens) usable.push(row);
    else tooLong.push({ origin: row.origin, tokens });
  }
  if (unusable.length > 0) {
    const more = unusable.length > SHOWN ? `\nand ${unusable.length - SHOWN} more` : '';
    throw new DataError(
      `${unusable.length} of ${rows.length} triplets cannot be used:\n${unusable.slice(0, SHOWN).join('\n')}${more}`,
    );
  }
  if (usable.length > 0) return { rows: usable, tooLong };
  throw new DataError(
    rows.length === 0
      ? 'There are no triplets to train on.'
      : `None of the ${rows.length} triplets has a prompt of at most ${maxPromptTokens} tokens; the shortest has ` +
          `${Math.min(...tooLong.map(({ tokens }) => tokens))}. Raise data.maxPromptTokens, or lower data.maxPixels.`,
  );
}
