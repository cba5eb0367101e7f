import { CheckpointError } from '../common/errors.ts';
import { toFloat16 } from '../runtime/halves.ts';
import { Variable } from '../runtime/variable.ts';
import type { SafetensorsDType, StoredTensor, TensorContent } from './safetensors.ts';

/** Parameters by their released names. */
export type Parameters = ReadonlyMap<string, Variable>;

const DTYPES = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' } as const;

/** How parameters are kept. */
export type ParameterDType = (typeof DTYPES)[SafetensorsDType];

/** A tensor on disk. */
export interface LocatedTensor extends StoredTensor {
  file: string;
  /** its name in the file */
  storedName: string;
}

/**
 * Loads one tensor; one that changes its type is in memory twice for a moment.
 * @param name of the variable
 * @param dtype to keep it in; default: as it is stored
 * @throws CheckpointError if the file has become shorter
 */
export function loadTensor(name: string, tensor: LocatedTensor, dtype?: ParameterDType): Variable {
  const { file, offset, shape } = tensor;
  const stored = Variable.fromFile(file, { offset, shape, dtype: DTYPES[tensor.dtype], name });
  if (dtype === undefined || dtype === stored.dtype) return stored;
  try {
    const value = stored.read();
    try {
      return Variable.fromTensor(value, { dtype, name });
    } finally {
      value.dispose();
    }
  } finally {
    stored.dispose();
  }
}

/**
 * A parameter as it is written: in the type in which it is kept, so that no value changes.
 * @throws CheckpointError if it is an int32
 */
export function contentOf(variable: Variable): TensorContent {
  const found = Object.entries(DTYPES).find(([, kept]) => kept === variable.dtype);
  if (found === undefined) {
    throw new CheckpointError(`${variable.name} is of type ${variable.dtype}; checkpoints hold floats.`);
  }
  const dtype = found[0] as SafetensorsDType;
  return {
    dtype,
    shape: variable.shape,
    bytes: () => {
      const value = variable.read();
      const values = value.dataSync<'float32'>();
      value.dispose();
      const elements = dtype === 'BF16' ? upperHalves(values) : dtype === 'F16' ? toFloat16(values) : values;
      return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
    },
  };
}

/* Bits of values that are bfloat16 already: there is nothing to round, which makes it a hundred times as fast. */
function upperHalves(values: Float32Array): Uint16Array {
  const halves = new Uint16Array(values.buffer, values.byteOffset, 2 * values.length);
  const upper = new Uint16Array(values.length);
  for (let i = 0; i < upper.length; i++) upper[i] = halves[2 * i + 1] as number;
  return upper;
}

/** Parameters nested by the dots of their names; numbers give arrays. */
export interface ParameterTree<Leaf> {
  [part: string]: ParameterTree<Leaf> | ParameterTree<Leaf>[] | Leaf;
}

/**
 * Nests parameters: `layers.0.mlp.up_proj.weight` is found at `tree.layers[0].mlp.up_proj.weight`.
 * @param parameters by name
 */
export function nestParameters<Leaf>(parameters: ReadonlyMap<string, Leaf>): ParameterTree<Leaf> {
  const root: Record<string, unknown> = {};
  for (const [name, leaf] of parameters) {
    const parts = name.split('.');
    let node = root;
    parts.slice(0, -1).forEach((part, i) => {
      const isArray = /^\d+$/.test(parts[i + 1] as string);
      node = (node[part] ??= isArray ? [] : {}) as Record<string, unknown>;
    });
    node[parts.at(-1) as string] = leaf;
  }
  return root as ParameterTree<Leaf>;
}
