import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { keepGroup } from '../../src/tapo/filter.ts';
import { GOLDENS } from '../support/safetensors.ts';

const { groups } = JSON.parse(readFileSync(new URL('tapo/filter.json', GOLDENS), 'utf8')) as {
  groups: { accuracy: number[]; mean: number; keep: boolean }[];
};

it.each(groups)('a group of mean accuracy $mean is kept: $keep', ({ accuracy, keep }) => {
  expect(keepGroup(accuracy)).toBe(keep);
});
