import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as PackageTokenizer } from '@huggingface/tokenizers';
import { CheckpointError, messageOf } from '../../common/errors.ts';

/** A checkpoint's own tokenizer. */
export interface Tokenizer {
  /** Tokens of a text; special tokens that stand in it are recognised, none are added. */
  encode(text: string): number[];
  /** The text of tokens; `skipSpecialTokens` leaves out those such as `<|im_end|>`. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** The token with exactly this text, if there is one. */
  idOf(token: string): number | undefined;
}

/* What is used of the package, whose own declarations do not resolve in ES modules. */
interface HubTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
  token_to_id(token: string): number | undefined;
}
const HubTokenizer = PackageTokenizer as unknown as new (json: object, config: object) => HubTokenizer;

/**
 * Loads `tokenizer.json` and, if there is one, `tokenizer_config.json`.
 * @throws CheckpointError that names the file that is missing or damaged
 */
export function loadTokenizer(folder: string): Tokenizer {
  const file = join(folder, 'tokenizer.json');
  const settings = join(folder, 'tokenizer_config.json');
  const json = readJsonFile(file);
  const config = existsSync(settings) ? readJsonFile(settings) : {};
  let tokenizer: HubTokenizer;
  try {
    // Tidying of spaces changes the text; the released tokenizer has it off.
    tokenizer = new HubTokenizer(json, { clean_up_tokenization_spaces: false, ...config });
  } catch (error) {
    throw new CheckpointError(`${file} is no tokenizer (${messageOf(error)}). Fetch it again.`);
  }
  return {
    encode: (text) => (text === '' ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids),
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      ids.length === 0 ? '' : tokenizer.decode([...ids], { skip_special_tokens: skipSpecialTokens }),
    idOf: (token) => tokenizer.token_to_id(token),
  };
}

function readJsonFile(file: string): object {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as object;
  } catch (error) {
    throw new CheckpointError(
      `${file} cannot be read (${messageOf(error)}). Fetch it: text cannot be encoded without it.`,
    );
  }
}

/** Text as it comes, of tokens that may each be a part of a character only. */
export interface TextStream {
  /** The text that is certain after some more tokens. */
  push(ids: readonly number[]): string;
  /** The rest. */
  end(): string;
}

const INCOMPLETE = '�';

/** Turns tokens into text while they are being generated. */
export function createTextStream(tokenizer: Tokenizer): TextStream {
  let pending: number[] = [];
  const text = (): string => tokenizer.decode(pending, { skipSpecialTokens: true });
  return {
    push: (ids) => {
      pending.push(...ids);
      const decoded = text();
      // A character whose bytes are not all there yet decodes to this sign.
      if (decoded.endsWith(INCOMPLETE)) return '';
      pending = [];
      return decoded;
    },
    end: () => {
      const rest = text();
      pending = [];
      return rest;
    },
  };
}
