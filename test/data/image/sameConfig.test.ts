import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/common/errors.ts';
import { parseImageConfig } from '../../../src/config/image.ts';
import { assertSameImageConfig } from '../../../src/data/image/sameConfig.ts';

describe('the picture settings of training and use', () => {
  const trained = parseImageConfig({}, 'the test');

  it('may be equal', () => {
    assertSameImageConfig(trained, parseImageConfig({ min_pixels: 3136 }, 'the test'), 'here');
  });

  it('are named with both values where they differ', () => {
    const mean = [0.5, 0.5, 0.5] as const;
    const check = (): void =>
      assertSameImageConfig(trained, { ...trained, maxPixels: 50_176, mean }, 'run/preprocessor_config.json');
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(
      /training \(run\/preprocessor_config\.json\): maxPixels is 50176, expected 1003520; mean/,
    );
    expect(check).toThrow(/mean is 0\.5,0\.5,0\.5, expected 0\.48145466,0\.4578275,0\.40821073\./);
  });
});
