/** Tests of ops that are not run, and why. */
export interface Skip {
  /** the tests, by `<case> forward` or `<case> gradient` */
  tests: RegExp;
  /** the only way that it concerns */
  way?: 'tensorflow eager' | 'tensorflow graph' | 'tensorflow xla' | 'wasm';
  reason: string;
}

export const SKIPS: readonly Skip[] = [
  {
    tests: /^(einsum|stridedSlice|scatterND|tensorScatterUpdate|topkValues) .*gradient$/,
    reason: 'tfjs has no gradient of einsum, stridedSlice, scatterND, tensorScatterUpdate and topk',
  },
  {
    tests: /^(tensorScatterUpdate|stridedSlice) gradient$/,
    reason: 'tfjs has no gradient of einsum, stridedSlice, scatterND, tensorScatterUpdate and topk',
  },
  {
    tests: /^softmax of NaN and Infinity forward$/,
    way: 'tensorflow graph',
    reason: "oneDNN's softmax keeps a NaN where it is and makes the rest of its row 0",
  },
  { tests: /^einsum .*forward$/, way: 'wasm', reason: 'wasm has no einsum' },
  { tests: /^conv2d .*gradient$/, way: 'wasm', reason: 'wasm has no gradient of conv2d with respect to the filter' },
]; // prettier-ignore

/* Tests whose error is another than torch's in float32, by the cause. */
const LOOSER: [RegExp, number][] = [
  // tanh is a rational approximation in TensorFlow and in XLA, some ulps off; where |tanh| nears 1, the gradient
  // 1 - tanh^2 keeps but the last bits of it.
  [/^tanh large range gradient$/, 100],
  // The first query attends to a single key: its gradient is 0, as the difference of two products.
  [/^attention causal gradient$/, 32],
];

/**
 * The tolerance of a test, in the units of `assertCloseTo`.
 *
 * It is relative to what float32 costs: four times the error of torch's own run in float32, as the order of sums and
 * the approximations of exp, tanh and the like differ between libraries and processors, and not less than 8 ulps.
 * Where torch makes no error, because values only move or are counted, none is allowed.
 *
 * @param torchUlps the error of torch's own run in float32
 */
export function tolerance(test: string, torchUlps: number): number {
  const looser = LOOSER.find(([tests]) => tests.test(test));
  if (looser !== undefined) return looser[1];
  return torchUlps === 0 ? 0 : Math.max(8, 4 * torchUlps);
}
