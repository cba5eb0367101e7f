/*
 * Errors are classes by remedy: what the reader has to change to get on. Every message says where, what was
 * found, what was expected and what to do.
 */

/** A setting, flag or environment variable has to be changed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A file of weights is missing, cut short or not what its description says. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError';
}

/** A row, picture or text of the user's data has to be changed. */
export class DataError extends Error {
  override readonly name = 'DataError';
}

/** The runtime (TensorFlow, wasm, a device) is missing, or refused what it was given. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
