import { createRequire } from 'node:module';

/** The version of finer1 that runs. */
export const FINER1_VERSION = (createRequire(import.meta.url)('finer1/package.json') as { version: string })
  .version;
