/* Starts poolWorker.ts in a checkout: a thread has no loader for TypeScript, whatever its parent runs under. */
import { register } from 'tsx/esm/api';

register();
await import('./poolWorker.ts');
