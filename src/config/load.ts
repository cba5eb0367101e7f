import { z } from 'zod';
import { ConfigError } from '../common/errors.ts';
import { runtimeSchema } from './runtime.ts';

/** How a model is loaded. */
export const loadSchema = runtimeSchema.extend({
  dtype: z
    .enum(['auto', 'float32', 'bfloat16'])
    .default('auto')
    .describe(
      'type of the weights, and of the products: float32 is exact, bfloat16 half as large and faster; auto: as stored',
    ),
  adapter: z.string().optional().describe("folder of a LoRA adapter in peft's layout"),
  pictures: z
    .enum(['released', 'own'])
    .default('own')
    .describe(
      "released: as both training stages saw pictures (alpha dropped, EXIF orientation ignored); own: as people's own pictures are meant (alpha over white, turned by EXIF)",
    ),
  minPixels: z.int().positive().optional().describe("default: the checkpoint's"),
  maxPixels: z.int().positive().optional().describe("default: the checkpoint's"),
});

export type LoadConfig = z.infer<typeof loadSchema>;
/** The same with every field optional, as a person writes it. */
export type LoadOptions = z.input<typeof loadSchema>;

/**
 * Fills in what is left out.
 * @throws ConfigError that names each option that is wrong, and what it has to be
 */
export function parseLoadConfig(options: LoadOptions): LoadConfig {
  const result = loadSchema.safeParse(options);
  if (result.success) return result.data;
  throw new ConfigError(`The options of loadModel are wrong:\n${z.prettifyError(result.error)}`);
}
