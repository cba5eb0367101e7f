/** A float32's last bit at 1. */
const EPSILON = 2 ** -23;

/**
 * Asserts that values are close to a reference, number for number. A difference is measured in units of
 * 2^-23 * (|reference| + the mean of |reference| over the tensor): the last bits of the number itself where it is
 * of the tensor's usual size, and of the usual size where it is smaller, as sums cancel.
 *
 * NaN and the infinities have to be the same.
 *
 * @param ulps the largest difference to pass, in these units; 0 asks for the same float32
 * @throws Error that gives index and both values of the largest difference, and how many are too large
 */
export function assertCloseTo(
  actual: ArrayLike<number>,
  reference: readonly number[],
  ulps: number,
  what = 'values',
): void {
  if (actual.length !== reference.length) {
    throw new Error(`${what}: ${actual.length} values, expected ${reference.length}`);
  }
  const errors = errorsInUlps(actual, reference);
  const wrong = errors.filter((error) => error > ulps).length;
  if (wrong === 0) return;
  const worst = errors.indexOf(Math.max(...errors));
  throw new Error(
    `${what}: ${wrong} of ${reference.length} differ by more than ${ulps} ulps; the largest difference is ` +
      `${errors[worst]?.toPrecision(3)} ulps at [${worst}]: ${actual[worst]}, expected ${reference[worst]}`,
  );
}

/** The difference of each value from its reference, in the units of `assertCloseTo`. */
export function errorsInUlps(actual: ArrayLike<number>, reference: readonly number[]): number[] {
  const sizes = reference.map(Math.abs).filter(Number.isFinite);
  const usual = sizes.reduce((sum, size) => sum + size, 0) / Math.max(sizes.length, 1);
  return reference.map((expected, i) => {
    const value = actual[i] as number;
    if (Object.is(value, expected) || value === Math.fround(expected)) return 0;
    const error = Math.abs(value - expected) / (EPSILON * (Math.abs(expected) + usual));
    return Number.isNaN(error) ? Infinity : error;
  });
}
