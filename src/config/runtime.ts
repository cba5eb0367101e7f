import { z } from 'zod';
import { ConfigError } from '../common/errors.ts';

/** How the runtime is set up: which backend, how many threads, how much of the GPU's memory. */
export const runtimeSchema = z.strictObject({
  backend: z
    .enum(['auto', 'tensorflow', 'wasm'])
    .default('auto')
    .describe('auto: TensorFlow on a GPU, else TensorFlow on the CPU, else wasm'),
  threads: z
    .int()
    .min(0)
    .default(0)
    .describe('CPU threads that one op may use; 0: as many as there are cores'),
  gpuMemoryGrowth: z
    .boolean()
    .default(true)
    .describe('take GPU memory as it is needed, rather than all of it at the start'),
  gpuMemoryLimitMiB: z
    .int()
    .positive()
    .optional()
    .describe('never take more GPU memory than this, in MiB; switches gpuMemoryGrowth off'),
});

export type RuntimeConfig = z.infer<typeof runtimeSchema>;
/** The same with every field optional, as a person writes it. */
export type RuntimeOptions = z.input<typeof runtimeSchema>;

/**
 * Fills in what is left out.
 * @throws ConfigError that names each option that is wrong, and what it has to be
 */
export function parseRuntimeConfig(options: RuntimeOptions): RuntimeConfig {
  const result = runtimeSchema.safeParse(options);
  if (result.success) return result.data;
  throw new ConfigError(`The options of the runtime are wrong:\n${z.prettifyError(result.error)}`);
}

/** What a larger config says of the runtime. */
export const pickRuntime = (config: RuntimeOptions): RuntimeConfig => runtimeSchema.strip().parse(config);
