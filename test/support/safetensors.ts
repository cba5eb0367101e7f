import { readFileSync } from 'node:fs';

/** A tensor of a golden file; 16-bit floats are widened, 64-bit integers are numbers. */
export interface Golden {
  shape: number[];
  data: number[] | Float32Array | Float64Array | Int32Array;
}

/** Reads a whole safetensors file, in the simplest way: what the product's own reader is tested against. */
export function readGolden(path: string | URL): Record<string, Golden> {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  delete header.__metadata__;
  const entries = Object.entries(header).map(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets.map((offset) => 8 + headerBytes + offset) as [number, number];
    const bytes = file.buffer.slice(file.byteOffset + begin, file.byteOffset + end);
    return [name, { shape, data: decode(dtype, bytes) }] as const;
  });
  return Object.fromEntries(entries);
}

function decode(dtype: string, bytes: ArrayBuffer): Golden['data'] {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes);
    case 'F64':
      return new Float64Array(bytes);
    case 'I32':
      return new Int32Array(bytes);
    case 'I64':
      return Array.from(new BigInt64Array(bytes), Number);
    case 'BF16': {
      const bits = Uint32Array.from(new Uint16Array(bytes), (half) => half << 16);
      return new Float32Array(bits.buffer);
    }
    default:
      throw new Error(`No golden has the dtype ${dtype}.`);
  }
}

/** The folder of the goldens. */
export const GOLDENS = new URL('../goldens/', import.meta.url);
