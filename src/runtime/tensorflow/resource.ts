import * as tf from '@tensorflow/tfjs';
import { readRange } from '../../common/files.ts';
import { BackendError } from '../../common/errors.ts';
import type { Stored, VariableDType, VariableStorage } from '../storage.ts';
import {
  type Attribute,
  boolAttribute,
  intAttribute,
  shapeAttribute,
  stringAttribute,
  typeAttribute,
} from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import { DType, FROM_TFJS } from './dtypes.ts';
import { type RawOp, rawOps, scratch } from './rawOps.ts';
import { viewMemory } from './library.ts';
import { adviseLargePages, populateAhead } from './pages.ts';
import { allocateTensor } from './tensors.ts';

const DTYPES: Record<VariableDType, DType> = {
  float32: DType.FLOAT,
  bfloat16: DType.BFLOAT16,
  float16: DType.HALF,
  int32: DType.INT32,
};

/* Of so large a value, what is behind the front gets its pages while the front is read. */
const [MANY_BYTES, FRONT] = [2 ** 24, 1 / 3];

let count = 0;

/** A variable as a TensorFlow resource: the binding holds its handle under a number. */
export class ResourceStorage implements VariableStorage {
  constructor(
    readonly backend: TensorFlowBackend,
    /** number of the resource handle */
    readonly id: number,
    readonly shape: readonly number[],
    private readonly dtype: VariableDType,
  ) {}

  static fromTensor(
    backend: TensorFlowBackend,
    value: tf.Tensor,
    dtype: VariableDType,
    name: string,
  ): ResourceStorage {
    const storage = ResourceStorage.create(backend, value.shape, dtype, name);
    storage.assign(value);
    return storage;
  }

  static fromFile(
    backend: TensorFlowBackend,
    path: string,
    offset: number,
    shape: readonly number[],
    dtype: VariableDType,
    name: string,
  ): ResourceStorage {
    const { binding } = backend;
    const { c } = binding.tensorflow;
    const [tensor, byteLength] = allocateTensor(c, shape, DTYPES[dtype]);
    try {
      const address = c.TF_TensorData(tensor);
      adviseLargePages(address, byteLength);
      if (byteLength >= MANY_BYTES) {
        const front = Math.round(byteLength * FRONT);
        populateAhead(address + front, byteLength - front);
      }
      readRange(path, offset, viewMemory(address, byteLength));
    } catch (error) {
      c.TF_DeleteTensor(tensor);
      throw error;
    }
    const value = binding.adoptTensor(tensor, shape, DTYPES[dtype]);
    const storage = ResourceStorage.create(backend, shape, dtype, name);
    storage.assignRaw(value);
    binding.deleteTensor(value);
    return storage;
  }

  private static create(
    backend: TensorFlowBackend,
    shape: readonly number[],
    dtype: VariableDType,
    name: string,
  ): ResourceStorage {
    const attributes = [
      typeAttribute('dtype', DTYPES[dtype]),
      shapeAttribute('shape', shape),
      stringAttribute('shared_name', `${name}#${count++}`),
      stringAttribute('container', ''),
    ];
    const [handle] = backend.binding.executeOp('VarHandleOp', attributes, [], 1);
    return new ResourceStorage(backend, (handle as { id: number }).id, shape, dtype);
  }

  /** The same variable, as the handle `id` stands for it in a trace. */
  at(id: number): ResourceStorage {
    return new ResourceStorage(this.backend, id, this.shape, this.dtype);
  }

  read(): tf.Tensor {
    const dtype = this.dtype === 'int32' ? DType.INT32 : DType.FLOAT;
    return rawOps(this.backend, ({ op }) => cast(op, this.readRaw(op), DTYPES[this.dtype], dtype));
  }

  gather(indices: tf.Tensor): tf.Tensor {
    const kept = DTYPES[this.dtype];
    const attributes = [
      intAttribute('batch_dims', 0),
      typeAttribute('Tparams', kept),
      typeAttribute('Tindices', DType.INT32),
      typeAttribute('Taxis', DType.INT32),
    ];
    return rawOps(this.backend, ({ op, constant }) => {
      // Not ResourceGather: from then on TensorFlow would copy the whole variable whenever it is read.
      const inputs = [
        this.readRaw(op),
        this.backend.idOf(indices),
        constant(DType.INT32, [], Int32Array.of(0)),
      ];
      return cast(
        op,
        op('GatherV2', attributes, inputs),
        kept,
        this.dtype === 'int32' ? DType.INT32 : DType.FLOAT,
      );
    });
  }

  /** Reads the value in the type in which it is kept; returns its number. */
  readRaw(op: RawOp): number {
    return op('ReadVariableOp', [typeAttribute('dtype', DTYPES[this.dtype])], [this.id], this.shape);
  }

  assign(value: tf.Tensor): void {
    this.withCast(value, (_, id) => {
      this.assignRaw(id);
    });
  }

  assignSlice(value: tf.Tensor, begin: readonly number[] | tf.Tensor1D): void {
    tf.tidy(() => {
      const start = begin instanceof tf.Tensor ? begin.toInt() : tf.tensor1d([...begin], 'int32');
      const strides = tf.onesLike(start);
      const end = start.add(tf.tensor1d(value.shape, 'int32'));
      this.withCast(value, (op, id) => {
        const [startId, endId, stridesId] = [start, end, strides].map((tensor) => this.backend.idOf(tensor));
        if (this.backend.binding.trace?.xla === true) {
          // XLA updates the variable's own buffer here; its strided assignment would copy.
          this.assignRaw(op('XlaDynamicUpdateSlice', [], [this.readRaw(op), id, startId as number]));
        } else {
          const inputs = [this.id, startId, endId, stridesId, id] as number[];
          this.backend.binding.executeOp('ResourceStridedSliceAssign', this.stridedAttributes(), inputs, 0);
        }
      });
    });
  }

  dispose(): void {
    const { binding } = this.backend;
    binding.executeOp('DestroyResourceOp', [boolAttribute('ignore_lookup_error', true)], [this.id], 0);
    binding.deleteTensor(this.id);
  }

  private assignRaw(value: number): void {
    const attributes = [typeAttribute('dtype', DTYPES[this.dtype])];
    this.backend.binding.executeOp('AssignVariableOp', attributes, [this.id, value], 0);
  }

  /** Runs `body` with the number of `value` in the type in which the variable is kept. */
  private withCast(value: tf.Tensor, body: (op: RawOp, id: number) => void): void {
    scratch(this.backend, ({ op }) => {
      body(op, cast(op, this.backend.idOf(value), FROM_TFJS[value.dtype], DTYPES[this.dtype]));
    });
  }

  private stridedAttributes(): Attribute[] {
    const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'];
    return [
      typeAttribute('T', DTYPES[this.dtype]),
      typeAttribute('Index', DType.INT32),
      ...masks.map((mask) => intAttribute(mask, 0)),
    ];
  }
}

/**
 * The resource behind a variable.
 * @throws BackendError for a variable that was made while another backend was set
 */
export function resourceOf(variable: Stored): ResourceStorage {
  if (variable.storage instanceof ResourceStorage) return variable.storage;
  throw new BackendError(
    `The variable ${variable.name} was made on another backend than TensorFlow. Make it after tf.setBackend().`,
  );
}

/** Casts a tensor given by its number; returns its own number where the types are the same. */
export function cast(op: RawOp, id: number, from: number, to: number): number {
  if (from === to) return id;
  const attributes = [
    typeAttribute('SrcT', from),
    typeAttribute('DstT', to),
    boolAttribute('Truncate', false),
  ];
  return op('Cast', attributes, [id]);
}
