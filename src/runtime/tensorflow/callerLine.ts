import { fileURLToPath } from 'node:url';

// src/runtime/ in the checkout, the package's folder once it is built.
const OWN_FOLDER = fileURLToPath(new URL('..', import.meta.url));

const isOutside = (frame: string): boolean =>
  // With source maps a frame of tfjs names its source, e.g. tfjs-core/src/engine.ts.
  !/node_modules\/@tensorflow\/|\/tfjs[\w-]*\/src\/|node:|<anonymous>\)?$/.test(frame) &&
  !frame.includes(OWN_FOLDER);

/**
 * The line that called into the runtime, as `file:line:column`: the nearest frame that is neither tfjs's nor the
 * runtime's own.
 */
export function callerLine(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = limit;
  const caller = frames.find(isOutside);
  return /\(?((?:file:\/\/)?[^\s()]+:\d+:\d+)\)?$/.exec(caller ?? '')?.[1] ?? 'an unknown line';
}
