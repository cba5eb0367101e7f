import * as tf from '@tensorflow/tfjs';
import { Variable } from './variable.ts';

/** A nested structure whose tensors and variables are taken out: `key` says all the rest of it. */
export interface Flat {
  tensors: tf.Tensor[];
  /** each once */
  variables: Variable[];
  /** structure, shapes, dtypes, and the values that are no tensors, as text */
  key: string;
}

// (`instanceof` alone gives the class's type argument as `any`.)
const isTensor = (value: unknown): value is tf.Tensor => value instanceof tf.Tensor;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !isTensor(value) && !(value instanceof Variable);

/* By name, so that a record's order makes no other structure. */
const entriesOf = (record: Record<string, unknown>): [string, unknown][] =>
  Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));

/** Takes the tensors and variables out of a nested structure, depth first; records by the order of their names. */
export function flatten(nest: unknown): Flat {
  const flat: Flat = { tensors: [], variables: [], key: '' };
  const visit = (value: unknown): string => {
    if (isTensor(value)) {
      flat.tensors.push(value);
      return `${value.dtype}[${value.shape.join()}]`;
    }
    if (value instanceof Variable) {
      // One that comes twice is one input, so that what is done to it keeps its order.
      if (!flat.variables.includes(value)) flat.variables.push(value);
      return `variable ${flat.variables.indexOf(value)} ${value.dtype}[${value.shape.join()}]`;
    }
    if (Array.isArray(value)) return `[${value.map(visit).join()}]`;
    if (isRecord(value)) {
      return `{${entriesOf(value)
        .map(([name, item]) => `${JSON.stringify(name)}:${visit(item)}`)
        .join()}}`;
    }
    return typeof value === 'function' ? 'function' : JSON.stringify(value);
  };
  flat.key = visit(nest);
  return flat;
}

/** The same structure with each tensor and variable replaced, in the order of `flatten`. */
export function mapNest<T>(
  nest: T,
  tensor: (value: tf.Tensor) => tf.Tensor,
  variable: (value: Variable) => Variable = (value) => value,
): T {
  const visit = (value: unknown): unknown => {
    if (isTensor(value)) return tensor(value);
    if (value instanceof Variable) return variable(value);
    if (Array.isArray(value)) return value.map(visit);
    if (isRecord(value)) {
      return Object.fromEntries(entriesOf(value).map(([name, item]) => [name, visit(item)]));
    }
    return value;
  };
  return visit(nest) as T;
}
