/*
 * bfloat16 (the upper half of a float32) and float16 (IEEE 754 binary16) to and from float32, rounding to nearest,
 * ties to even, as TensorFlow's casts do.
 */

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/** Bits of bfloat16 numbers as float32 values. */
export function fromBfloat16(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return values;
}

/** float32 values rounded to bfloat16, as bits. */
export function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (x) =>
    (x & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16,
  );
}

/** Bits of float16 numbers as float32 values. */
export function fromFloat16(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  });
}

/** float32 values rounded to float16, as bits. */
export function toFloat16(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (value) => {
    FLOAT[0] = value;
    const sign = ((BITS[0] as number) >>> 16) & 0x8000;
    const size = Math.abs(value);
    if (Number.isNaN(value)) return 0x7e00;
    if (size >= 65520) return sign | 0x7c00;
    // The distance between neighbours at this size; below 2^-14 they are 2^-24 apart.
    const exponent = Math.max((((BITS[0] as number) >>> 23) & 255) - 127, -14);
    const steps = roundToEven(size / 2 ** (exponent - 10));
    // Adding, not or-ing: a fraction that rounds up to 2 carries into the exponent.
    return sign | (exponent === -14 && steps < 1024 ? steps : (exponent + 14) * 1024 + steps);
  });
}

function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
