/** The mean of vectors of one length; empty of none. */
export function meanOf(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) vector.forEach((value, i) => (mean[i] = (mean[i] as number) + value));
  return mean.map((value) => value / vectors.length);
}

/** A vector from a middle. */
export const centred = (vector: Float32Array, middle: Float32Array): Float32Array =>
  vector.map((value, i) => value - (middle[i] as number));

/** The cosine of two vectors; 0 where one is nothing. */
export function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array): number =>
    x.reduce((sum, value, i) => sum + value * (y[i] as number), 0);
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  return lengths === 0 ? 0 : dot(a, b) / lengths;
}
