/*
 * Threefry-2x32-20 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011);
 * runtime/tensorflow/threefry.ts is the same on the device.
 */

/** Rotations by round, modulo 8. */
export const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
/** The parity constant of the key schedule. */
export const PARITY = 0x1bd11bda;
/** After each group of 4 rounds the key is mixed in. */
export const GROUPS = 5;

/**
 * Uniform numbers in (0, 1): the first word of the block with the counter (column, 0), for each row's key.
 *
 * @param keys two 32-bit words a row
 * @returns `[rows, columns]`, row-major
 */
export function threefry(keys: Int32Array, columns: number): Float32Array {
  const rows = keys.length / 2;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const [k0 = 0, k1 = 0] = keys.subarray(2 * row, 2 * row + 2);
    for (let column = 0; column < columns; column++) {
      values[row * columns + column] = ((firstWord(k0, k1, column) >>> 9) + 0.5) * 2 ** -23;
    }
  }
  return values;
}

/** The first word of the block that Threefry makes of a key (k0, k1) and a counter (low, high). */
export const firstWord = (k0: number, k1: number, low: number, high = 0): number =>
  block(k0, k1, low, high)[0];

/** The block, two signed words, that Threefry makes of a key (k0, k1) and a counter (low, high). */
export function block(k0: number, k1: number, low: number, high: number): [number, number] {
  const schedule = [k0, k1, k0 ^ k1 ^ PARITY];
  let x0 = (low + k0) | 0;
  let x1 = (high + k1) | 0;
  for (let group = 0; group < GROUPS; group++) {
    for (let i = 0; i < 4; i++) {
      const rotation = ROTATIONS[(4 * group + i) % 8] as number;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    }
    x0 = (x0 + (schedule[(group + 1) % 3] as number)) | 0;
    x1 = (x1 + (schedule[(group + 2) % 3] as number) + group + 1) | 0;
  }
  return [x0, x1];
}
