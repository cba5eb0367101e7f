import { ConfigError } from '../../common/errors.ts';
import type { ImageConfig } from '../../config/image.ts';

/**
 * Checks that pictures become the same patches in use as in training: other limits are other scales, which a model was
 * not trained on.
 *
 * @param where of the training's config, for the message: `preprocessor_config.json` beside the weights, say
 * @throws ConfigError that names each setting that differs, with both values
 */
export function assertSameImageConfig(trained: ImageConfig, used: ImageConfig, where: string): void {
  const differences = (Object.keys(trained) as (keyof ImageConfig)[])
    .map((key) => ({ key, before: String(trained[key]), now: String(used[key]) }))
    .filter(({ before, now }) => before !== now)
    .map(({ key, before, now }) => `${key} is ${now}, expected ${before}`);
  if (differences.length === 0) return;
  throw new ConfigError(
    `Pictures are not as they were in training (${where}): ${differences.join('; ')}. Leave these settings out, to take ` +
      'those of the training, or train with the others.',
  );
}
