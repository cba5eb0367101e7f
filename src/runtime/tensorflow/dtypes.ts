/** TensorFlow's element types (`TF_DataType`) that occur here. */
export const DType = {
  FLOAT: 1,
  INT32: 3,
  UINT8: 4,
  STRING: 7,
  COMPLEX64: 8,
  INT64: 9,
  BOOL: 10,
  BFLOAT16: 14,
  HALF: 19,
  RESOURCE: 20,
  UINT32: 22,
  UINT64: 23,
} as const;
export type DType = (typeof DType)[keyof typeof DType];

const NAMES = new Map<number, string>([
  [DType.FLOAT, 'float32'],
  [DType.INT32, 'int32'],
  [DType.UINT8, 'uint8'],
  [DType.STRING, 'string'],
  [DType.COMPLEX64, 'complex64'],
  [DType.INT64, 'int64'],
  [DType.BOOL, 'bool'],
  [DType.BFLOAT16, 'bfloat16'],
  [DType.HALF, 'float16'],
  [DType.RESOURCE, 'resource'],
  [DType.UINT32, 'uint32'],
  [DType.UINT64, 'uint64'],
]);

/** Size of a `TF_TString`, the slot of one element of a string tensor. */
export const STRING_SLOT_BYTES = 24;

const BYTES = new Map<number, number>([
  [DType.FLOAT, 4],
  [DType.INT32, 4],
  [DType.UINT8, 1],
  [DType.STRING, STRING_SLOT_BYTES],
  [DType.COMPLEX64, 8],
  [DType.INT64, 8],
  [DType.BOOL, 1],
  [DType.BFLOAT16, 2],
  [DType.HALF, 2],
  [DType.UINT32, 4],
  [DType.UINT64, 8],
]);

/** The name of a TensorFlow element type, for messages. */
export const dtypeName = (dtype: number): string => NAMES.get(dtype) ?? `dtype ${dtype}`;

/** Bytes of one element, or undefined where a tensor of that type has no plain memory (a resource). */
export const bytesPerElement = (dtype: number): number | undefined => BYTES.get(dtype);

/** A tensor as a message shows it: `float32[2, 3]`. */
export const describe = (dtype: number, shape: readonly number[]): string =>
  `${dtypeName(dtype)}[${shape.join(', ')}]`;

/** TensorFlow's type for one of tfjs. */
export const FROM_TFJS = {
  float32: DType.FLOAT,
  int32: DType.INT32,
  bool: DType.BOOL,
  complex64: DType.COMPLEX64,
  string: DType.STRING,
} as const satisfies Record<string, DType>;
