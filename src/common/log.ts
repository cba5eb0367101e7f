import { pino } from 'pino';
import { build as pretty } from 'pino-pretty';

/**
 * What is said on the way, on stderr, so that stdout carries results only. `FINER1_LOG` sets the level
 * (`debug`, `info`, `warn`, `error`, `silent`).
 */
export const log = pino(
  { level: process.env.FINER1_LOG ?? 'info', base: null },
  pretty({ destination: 2, sync: true, ignore: 'time', colorize: process.stderr.isTTY }),
);
