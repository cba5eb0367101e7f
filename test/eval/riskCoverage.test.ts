import { describe, expect, it } from 'vitest';
import { calibrate, type Outcome, pointForRisk, riskCoverage } from '../../src/eval/riskCoverage.ts';
import { DataError } from '../../src/common/errors.ts';
import { createRandom } from '../../src/common/random.ts';

const outcomes = (...pairs: [number, 0 | 1][]): Outcome[] =>
  pairs.map(([probability, right]) => ({ probability, right: right === 1 }));

/* As a model that is right as often as it says. */
function calibrated(count: number): Outcome[] {
  const random = createRandom(1, 'outcomes');
  return Array.from({ length: count }, () => {
    const probability = random.uniform();
    return { probability, right: random.uniform() < probability };
  });
}

describe('the risk-coverage curve', () => {
  it('has a point for each probability, equal ones together', () => {
    expect(riskCoverage(outcomes([0.9, 1], [0.5, 0], [0.7, 1], [0.5, 1]))).toEqual([
      { threshold: 0.5, coverage: 1, risk: 0.25 },
      { threshold: 0.7, coverage: 0.5, risk: 0 },
      { threshold: 0.9, coverage: 0.25, risk: 0 },
    ]);
  });

  it('covers strictly less as the threshold rises, and begins with all', () => {
    const curve = riskCoverage(calibrated(500));
    expect(curve[0]?.coverage).toBe(1);
    for (const [i, { threshold, coverage }] of curve.slice(1).entries()) {
      expect(threshold).toBeGreaterThan(curve[i]?.threshold as number);
      expect(coverage).toBeLessThan(curve[i]?.coverage as number);
    }
  });

  it('says at each threshold what refusing below it does', () => {
    const given = calibrated(200);
    for (const { threshold, coverage, risk } of riskCoverage(given)) {
      const answered = given.filter(({ probability }) => probability >= threshold);
      expect(coverage).toBe(answered.length / 200);
      expect(risk).toBe(answered.filter(({ right }) => !right).length / answered.length);
    }
  });

  it('gives the threshold that answers most at a wished risk', () => {
    const curve = riskCoverage(calibrated(500));
    const point = pointForRisk(curve, 0.2);
    expect(point?.risk).toBeLessThanOrEqual(0.2);
    const better = curve.filter(({ coverage }) => coverage > (point?.coverage as number));
    expect(better.length).toBeGreaterThan(0);
    expect(better.every(({ risk }) => risk > 0.2)).toBe(true);
  });

  it('has no threshold for a risk that is never reached', () => {
    expect(pointForRisk(riskCoverage(outcomes([0.9, 0], [0.5, 1])), 0.1)).toBeUndefined();
  });

  it('falls with the threshold where probabilities tell right from wrong', () => {
    const curve = riskCoverage(calibrated(20_000)).filter((_, i) => i % 2000 === 0);
    for (const [i, { risk }] of curve.slice(1).entries()) expect(risk).toBeLessThan(curve[i]?.risk as number);
  });

  it.each([
    ['no outcomes', [], /there are none; give at least one/],
    ['a probability over 1', outcomes([0.5, 1], [1.5, 1]), /outcome 1 is 1\.5; a number from 0 to 1/],
    ['no number', outcomes([NaN, 1]), /outcome 0 is NaN/],
  ])('refuses %s', (_, given, message) => {
    expect(() => riskCoverage(given)).toThrow(DataError);
    expect(() => riskCoverage(given)).toThrow(message);
  });
});

describe('calibrate', () => {
  it('gives the threshold of a wished risk, and what to expect of it elsewhere', () => {
    const given = calibrated(2000);
    const { chosen, held } = calibrate(given, 0.1, 0);
    // Of answers above t, 1 - (1 + t) / 2 are wrong: 10 % above 0.8.
    expect(Math.abs((chosen?.threshold ?? 0) - 0.8)).toBeLessThan(0.05);
    expect(chosen?.risk?.mean).toBeLessThanOrEqual(0.1);
    expect(Math.abs((held?.threshold ?? 0) - 0.8)).toBeLessThan(0.1);
    expect(held?.risk?.low).toBeLessThan(0.1);
    expect(held?.risk?.high).toBeGreaterThan(0.1);
    expect(Math.abs((held?.coverage ?? 0) - 0.2)).toBeLessThan(0.1);
    expect(calibrate(given, 0.1, 0)).toEqual({ maxRisk: 0.1, chosen, held });
  });

  it('has nothing to give where all are wrong, or one alone is right', () => {
    expect(calibrate(outcomes([0.5, 0], [0.9, 0]), 0.1, 0)).toEqual({ maxRisk: 0.1 });
    const one = calibrate(outcomes([0.5, 1]), 0.1, 0);
    expect(one.chosen).toEqual({ threshold: 0.5, coverage: 1, risk: { mean: 0, low: 0, high: 0 } });
    expect(one.held).toBeUndefined();
  });
});
