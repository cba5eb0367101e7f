import { readFileSync } from 'node:fs';

/** The most memory that this process has had, in MiB. */
export const peakMiB = (): number =>
  Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
