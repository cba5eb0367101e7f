import { readFileSync } from 'node:fs';
import { CheckpointError, messageOf } from './errors.ts';

/**
 * Reads a JSON file of a checkpoint.
 * @throws CheckpointError if it is missing or not JSON
 */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown;
  } catch (error) {
    throw new CheckpointError(`${file} cannot be read: ${messageOf(error)}. Fetch it again.`);
  }
}
