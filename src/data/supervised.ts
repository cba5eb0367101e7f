import { DataError, messageOf } from '../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../config/image.ts';
import type { ImageSource } from './image/decode.ts';
import { measureImage } from './image/measure.ts';
import { mapAhead } from './image/pool.ts';
import type { ChatRow, RowOrigin } from './rows.ts';
import { encodeConversation } from './text/conversation.ts';
import type { Tokenizer } from './text/tokenizer.ts';

/** A row to learn, as tokens; its pictures are still files. */
export interface SupervisedRow {
  origin: RowOrigin;
  ids: number[];
  /** as long as `ids`; -100 where nothing is learnt */
  labels: number[];
  /** how many of them count */
  learnt: number;
  images: readonly ImageSource[];
}

/** Rows that are trained on, and those that are not. */
export interface SupervisedRows {
  rows: SupervisedRow[];
  /** rows over the limit */
  tooLong: { origin: RowOrigin; tokens: number }[];
}

/** How rows become tokens. */
export interface EncodingOptions {
  tokenizer: Tokenizer;
  imageConfig: ImageConfig;
  quirks: ImageQuirks;
  /** a row with more tokens is left out */
  cutoffTokens: number;
}

const HEADERS_AHEAD = 16;
const SHOWN = 3;

/**
 * Encodes conversations; of the pictures only the headers are read.
 * @throws DataError that names the first rows that cannot be used, and how many there are; or if none is left
 */
export async function encodeRows(
  rows: readonly ChatRow[],
  { tokenizer, imageConfig, quirks, cutoffTokens }: EncodingOptions,
): Promise<SupervisedRows> {
  const unusable: string[] = [];
  const result: SupervisedRows = { rows: [], tooLong: [] };
  const encode = async ({ origin, messages, images }: ChatRow): Promise<SupervisedRow | undefined> => {
    try {
      const grids = await Promise.all(images.map((image) => measureImage(image, imageConfig, quirks)));
      const { ids, labels } = encodeConversation(tokenizer, messages, grids, imageConfig.mergeSize);
      // The first token of a row is predicted by nothing.
      const learnt = labels.filter((label, at) => label !== -100 && at > 0).length;
      return { origin, ids, labels, learnt, images };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      unusable.push(`${origin.file}, row ${origin.row}: ${messageOf(error)}`);
      return undefined;
    }
  };
  for await (const row of mapAhead(rows, encode, HEADERS_AHEAD)) {
    if (row === undefined) continue;
    if (row.ids.length <= cutoffTokens) result.rows.push(row);
    else result.tooLong.push({ origin: row.origin, tokens: row.ids.length });
  }
  if (unusable.length > 0) {
    const more = unusable.length > SHOWN ? `\nand ${unusable.length - SHOWN} more` : '';
    throw new DataError(
      `${unusable.length} of ${rows.length} rows cannot be used:\n${unusable.slice(0, SHOWN).join('\n')}${more}`,
    );
  }
  if (result.rows.length > 0) return result;
  const longest = Math.max(0, ...result.tooLong.map(({ tokens }) => tokens));
  throw new DataError(
    rows.length === 0
      ? 'There are no rows to train on.'
      : `None of the ${rows.length} rows has at most ${cutoffTokens} tokens; the longest has ${longest}. Raise data.cutoffTokens, ` +
          'or lower data.maxPixels.',
  );
}
