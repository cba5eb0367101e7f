import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { compile, gumbel, uniform } from '../../src/runtime/index.ts';
import { firstWord, threefry } from '../../src/common/threefry.ts';
import { onEveryBackend } from '../support/backends.ts';

describe('threefry', () => {
  // Known answers of Random123 (kat_vectors, threefry2x32, 20 rounds); only the first word is used.
  it.each([
    [0, 0, 0, 0x6b200159],
    [-1, -1, -1, 0x1cb996fc, -1],
    [0x13198a2e, 0x03707344, 0x243f6a88, 0xc4923a9c, 0x85a308d3],
  ])('gives the known answer for key (%i, %i) and counter %i', (k0, k1, counter, answer, high = 0) => {
    expect(firstWord(k0, k1, counter, high) >>> 0).toBe(answer);
  });
});

onEveryBackend(() => {
  const expected = (key: readonly [number, number], size: number): number[] => [
    ...threefry(Int32Array.from(key), size),
  ];

  it.each([undefined, false, true])('gives the numbers of the key, compiled (xla: %s) or not', (xla) => {
    const draw = (key: tf.Tensor): tf.Tensor => uniform(key, [2, 3]);
    const key = tf.tensor1d([7, -9], 'int32');
    using compiled = compile(draw, { xla: xla ?? false });
    const numbers = xla === undefined ? draw(key) : compiled(key);
    expect([...numbers.dataSync()]).toEqual(expected([7, -9], 6));
  });

  it('gives a row the numbers of its own key, whatever the other rows', () => {
    const both = uniform(tf.tensor2d([[1, 2], [3, 4]], [2, 2], 'int32'), [2, 5]); // prettier-ignore
    expect([...both.dataSync()]).toEqual([...expected([1, 2], 5), ...expected([3, 4], 5)]);
    expect([...uniform([3, 4], [5]).dataSync()]).toEqual(expected([3, 4], 5));
  });

  it('is uniform: mean, variance and extremes of 100,000 numbers', () => {
    const numbers = uniform([2026, 11], [100_000]);
    const { mean, variance } = tf.moments(numbers);
    // The standard deviations of the two estimates are 0.0009 and 0.00024.
    expect(Math.abs((mean.dataSync()[0] as number) - 0.5)).toBeLessThan(0.004);
    expect(Math.abs((variance.dataSync()[0] as number) - 1 / 12)).toBeLessThan(0.001);
    expect(numbers.min().dataSync()[0]).toBeGreaterThan(0);
    expect(numbers.max().dataSync()[0]).toBeLessThan(1);
  });

  it('makes Gumbel noise whose arg max samples the softmax', () => {
    const draws = 20_000;
    const logits = tf.log(tf.tensor1d([0.1, 0.2, 0.7]));
    const picks = tf.argMax(gumbel([5, 6], [draws, 3]).add(logits), 1);
    const shares = tf.oneHot(picks.toInt(), 3).toFloat().mean(0).dataSync();
    [0.1, 0.2, 0.7].forEach((share, i) =>
      expect(Math.abs((shares[i] as number) - share)).toBeLessThan(0.015),
    );
    const u = expected([5, 6], 4);
    const noise = gumbel([5, 6], [4]).dataSync();
    u.forEach((value, i) => expect(noise[i]).toBeCloseTo(-Math.log(-Math.log(value)), 5));
  });

  it('refuses a key that does not fit', () => {
    expect(() => uniform(tf.zeros([3, 2], 'int32'), [2, 5])).toThrow(
      /int32\[3, 2\] does not fit .* \[2, 5\]/,
    );
    expect(() => uniform(tf.zeros([2]), [5])).toThrow(/float32\[2\] does not fit/);
  });
});
