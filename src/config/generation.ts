import { z } from 'zod';
import { CheckpointError } from '../common/errors.ts';

const generationSchema = z.object({
  eos_token_id: z.union([z.int(), z.array(z.int())]).optional(),
});

/** What `generation_config.json` says that finer1 goes by. How to draw tokens is the caller's choice. */
export interface GenerationConfig {
  /** tokens that end a response */
  eosTokenIds: number[];
}

/**
 * Reads `generation_config.json`.
 * @param json its parsed content
 * @param file for messages
 * @throws CheckpointError that names the file and the field that is wrong
 */
export function parseGenerationConfig(json: unknown, file: string): GenerationConfig {
  const result = generationSchema.safeParse(json);
  if (!result.success) throw new CheckpointError(`${file} is wrong:\n${z.prettifyError(result.error)}`);
  return { eosTokenIds: [result.data.eos_token_id ?? []].flat() };
}
