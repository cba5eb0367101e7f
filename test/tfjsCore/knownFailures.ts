/** Tests of tfjs-core's suite that fail on TensorFlow, and why that is so. */
export const KNOWN_FAILURES: readonly { tests: RegExp; reason: string }[] = [
  {
    tests: /^(avgPool|avgPool3d|maxPool|maxPool3d|maxPoolBackprop|pool|conv2dTranspose) .*\bp=(1|2|explicit)\b/,
    reason: "tfjs-node pools with the paddings 'valid' and 'same' only",
  },
  {
    tests: /^(fused conv2d|conv2d) .*NCHW/,
    reason: 'TensorFlow convolves NHWC only on the CPU',
  },
  {
    tests: /^(avgPool3d .*p=valid|conv2dTranspose .*p=same vec4)$/,
    reason: 'TensorFlow refuses shapes that tfjs lets pass',
  },
  {
    tests: /^(sparseSegmentMean|sparseSegmentSum) .*(throw error|invalid|integer data)/,
    reason: "TensorFlow's segment ops word their errors otherwise, and take no mean of integers",
  },
  { tests: /^einsum .*throws error|^einsum .*not implemented yet/, reason: 'TensorFlow computes more than tfjs does' },
  { tests: /^maxPoolWithArgmax .*ignores NaNs$|^unique .*NaN/, reason: 'TensorFlow treats NaN otherwise' },
  { tests: /^multinomial .*given the same seed$/, reason: "TensorFlow's multinomial goes on from call to call" },
  { tests: /^tan .*exceed float32 precision$/, reason: "the suite's tolerance is less than the last bit of a float32" },
]; // prettier-ignore
