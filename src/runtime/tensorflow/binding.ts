import { BackendError } from '../../common/errors.ts';
import { type Attribute, AttrType, type AttributeSetters, eagerSetters, setAttribute } from './attributes.ts';
import { callerLine } from './callerLine.ts';
import { check, type TensorFlow } from './context.ts';
import { describe, DType } from './dtypes.ts';
import { type Pointer, readPointers } from './library.ts';
import { freeStrings, makeTensor, readTensor, sizeOf, type Values } from './tensors.ts';
import type { Symbolic, Trace } from './trace.ts';

/** What tfjs's kernels know of a result: its number here, shape and TensorFlow type. */
export interface TensorMetadata {
  id: number;
  shape: number[];
  dtype: number;
}

/** A tensor that has a value: a `TFE_TensorHandle`. */
interface Eager {
  handle: Pointer;
  shape: number[];
  dtype: number;
}
/** A tensor of a trace, with the values it was made from if it is a constant. */
interface Traced extends Symbolic {
  trace: Trace;
  values?: Values;
}
type Entry = Eager | Traced;

const isTraced = (entry: Entry): entry is Traced => 'trace' in entry;

// Not by binding: the number of a tensor that went with a backend must not be that of another one's.
let nextId = 0;

/**
 * The `TFJSBinding` that tfjs-node's kernels call (tfjs-node/src/tfjs_binding.ts), over TensorFlow's C API.
 *
 * Tensors are known by number. While a trace is open, `executeOp` adds a node to its graph instead of running.
 */
export class Binding {
  readonly TF_FLOAT = DType.FLOAT;
  readonly TF_INT32 = DType.INT32;
  readonly TF_INT64 = DType.INT64;
  readonly TF_BOOL = DType.BOOL;
  readonly TF_COMPLEX64 = DType.COMPLEX64;
  readonly TF_STRING = DType.STRING;
  readonly TF_RESOURCE = DType.RESOURCE;
  readonly TF_UINT8 = DType.UINT8;
  readonly TF_ATTR_STRING = AttrType.STRING;
  readonly TF_ATTR_INT = AttrType.INT;
  readonly TF_ATTR_FLOAT = AttrType.FLOAT;
  readonly TF_ATTR_BOOL = AttrType.BOOL;
  readonly TF_ATTR_TYPE = AttrType.TYPE;
  readonly TF_ATTR_SHAPE = AttrType.SHAPE;
  readonly TF_ATTR_RESOURCE = AttrType.RESOURCE;
  readonly TF_Version: string;

  private readonly entries = new Map<number, Entry>();
  private readonly openTraces: Trace[] = [];
  private readonly setters: AttributeSetters;
  readonly tensorflow: TensorFlow;

  constructor(tensorflow: TensorFlow) {
    this.tensorflow = tensorflow;
    this.setters = eagerSetters(tensorflow.c, tensorflow.status);
    this.TF_Version = tensorflow.version;
  }

  isUsingGpuDevice(): boolean {
    return this.tensorflow.gpu !== undefined;
  }

  /** Tensors that TensorFlow holds for this binding and nobody has disposed. */
  getNumOfTensors(): number {
    return this.entries.size;
  }

  /** The innermost trace that is open, if any. */
  get trace(): Trace | undefined {
    return this.openTraces.at(-1);
  }

  /** Runs `body` with `trace` open; what is called inside becomes part of it. */
  within<T>(trace: Trace, body: () => T): T {
    this.openTraces.push(trace);
    try {
      return body();
    } finally {
      this.openTraces.pop();
    }
  }

  /** Makes a tensor from values: a constant while a trace is open, else a tensor in memory. */
  createTensor(shape: number[], dtype: number, values: Values): number {
    return this.trace === undefined
      ? this.createEager(shape, dtype, values)
      : this.createConstant(this.trace, shape, dtype, values);
  }

  /** Makes a tensor in memory from values, whether a trace is open or not. */
  createEager(shape: readonly number[], dtype: number, values: Values): number {
    const { c, status } = this.tensorflow;
    const tensor = makeTensor(c, shape, dtype, values);
    if (dtype !== DType.STRING) return this.adoptTensor(tensor, shape, dtype);
    // TensorFlow frees the slots of strings made through the C API, not the strings: give it a copy of its own.
    const original = this.add({ handle: c.TFE_NewTensorHandle(tensor, status), shape: [...shape], dtype });
    const [position, length] = [0, 2 ** 31 - 1].map((value) =>
      this.createEager([], DType.INT32, Int32Array.of(value)),
    );
    const ids = [original, position, length] as number[];
    const [copy] = this.executeEager('Substr', [], ids, 1);
    for (const id of ids) this.deleteTensor(id);
    freeStrings(c, tensor, sizeOf(shape));
    return (copy as TensorMetadata).id;
  }

  /** Takes over a `TF_Tensor`: it is freed with the tensor that it becomes. */
  adoptTensor(tensor: Pointer, shape: readonly number[], dtype: number): number {
    const { c, status } = this.tensorflow;
    let handle = c.TFE_NewTensorHandle(tensor, status);
    c.TF_DeleteTensor(tensor);
    check(this.tensorflow, () => `A tensor ${describe(dtype, shape)} cannot be made`);
    // TensorFlow keeps int32 (shapes, axes) and strings on the host.
    if (this.tensorflow.gpu !== undefined && dtype !== DType.INT32 && dtype !== DType.STRING) {
      handle = this.moveToDevice(handle, this.tensorflow.gpu, shape, dtype);
    }
    return this.add({ handle, shape: [...shape], dtype });
  }

  deleteTensor(id: number): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    if (!isTraced(entry)) this.tensorflow.c.TFE_DeleteTensorHandle(entry.handle);
    this.entries.delete(id);
  }

  /** Frees every tensor. */
  dispose(): void {
    for (const id of [...this.entries.keys()]) this.deleteTensor(id);
  }

  /**
   * Copies a tensor's values out, waiting for them.
   * @throws BackendError while a trace is open, unless the tensor is a constant of it: a traced function would
   *   go on with the value that was read while tracing
   */
  tensorDataSync(id: number): Values {
    const entry = this.entry(id);
    if (isTraced(entry) && entry.values !== undefined) return entry.values;
    if (this.trace !== undefined || isTraced(entry)) {
      const made = isTraced(entry) ? ` that ${entry.op} makes` : '';
      throw new BackendError(
        `The value of a tensor ${describe(entry.dtype, entry.shape)}${made} was read at ${callerLine()} while ` +
          `${this.trace?.name ?? 'a function'} was being traced, when it has none. ` +
          'Return the tensor from the compiled function and read it there, or keep the computation on tensors.',
      );
    }
    const { c, status } = this.tensorflow;
    const tensor = c.TFE_TensorHandleResolve(entry.handle, status);
    check(this.tensorflow, () => `Reading a tensor ${describe(entry.dtype, entry.shape)}`);
    const values = readTensor(c, tensor, entry.shape, entry.dtype);
    c.TF_DeleteTensor(tensor);
    return values;
  }

  /**
   * Runs an op, or adds it to the open trace.
   *
   * @param count number of results
   * @param shape the shape of the result, where a trace cannot infer it
   * @throws BackendError that names the op and its inputs' shapes and types
   */
  executeOp(
    op: string,
    attributes: readonly Attribute[],
    ids: readonly number[],
    count: number,
    shape?: readonly number[],
  ): TensorMetadata[] {
    const { trace } = this;
    if (trace === undefined) return this.executeEager(op, attributes, ids, count);
    const inputs = ids.map((id) => this.symbolOf(id, trace));
    return trace
      .addNode(op, attributes, inputs, shape)
      .map((output) => ({ id: this.add({ ...output, trace }), shape: output.shape, dtype: output.dtype }));
  }

  /** A number for a tensor of a trace. */
  addSymbol(trace: Trace, symbol: Symbolic): number {
    return this.add({ ...symbol, trace });
  }

  /**
   * The node that stands for a tensor in a trace: its own, or an input for one from outside.
   * @throws BackendError for a tensor of a trace that is not around this one
   */
  symbolOf(id: number, trace: Trace): Symbolic {
    const entry = this.entry(id);
    if (isTraced(entry)) {
      if (entry.trace === trace) return entry;
      if (!this.isOpen(entry.trace)) throw this.foreign(entry);
    }
    return trace.capture(id, entry.shape, entry.dtype);
  }

  /** Whether a trace goes on: the innermost one, or one around it. */
  isOpen(trace: Trace): boolean {
    return this.openTraces.includes(trace);
  }

  /** Shape and TensorFlow type of a tensor. */
  describe(id: number): { shape: number[]; dtype: number } {
    const { shape, dtype } = this.entry(id);
    return { shape, dtype };
  }

  /** An error for the use of a tensor outside of the trace that it belongs to. */
  private foreign({ dtype, shape, op, trace }: Traced): BackendError {
    return new BackendError(
      `A tensor ${describe(dtype, shape)} that ${op} made while ${trace.name} was being traced was used outside of ` +
        `that trace, at ${callerLine()}. Return it from the compiled function instead.`,
    );
  }

  /** Makes a constant of a trace that is open. */
  createConstant(trace: Trace, shape: readonly number[], dtype: number, values: Values): number {
    const { c } = this.tensorflow;
    const tensor = makeTensor(c, shape, dtype, values);
    try {
      return this.add({ ...trace.addConstant(tensor, shape, dtype), trace, values });
    } finally {
      if (dtype === DType.STRING) freeStrings(c, tensor, sizeOf(shape));
      else c.TF_DeleteTensor(tensor);
    }
  }

  private executeEager(
    name: string,
    attributes: readonly Attribute[],
    ids: readonly number[],
    count: number,
  ): TensorMetadata[] {
    const { c, context, status } = this.tensorflow;
    const inputs = ids.map((id) => this.eagerEntry(id));
    const what = (): string =>
      `${name}(${inputs.map(({ dtype, shape }) => describe(dtype, shape)).join(', ')})`;
    const op = c.TFE_NewOp(context, name, status);
    check(this.tensorflow, what);
    const handles = new BigUint64Array(Math.max(count, 1));
    try {
      for (const input of inputs) {
        c.TFE_OpAddInput(op, input.handle, status);
        check(this.tensorflow, what);
      }
      for (const attribute of attributes) setAttribute(this.setters, op, attribute);
      c.TFE_Execute(op, handles, Int32Array.of(count), status);
      check(this.tensorflow, what);
    } finally {
      c.TFE_DeleteOp(op);
    }
    return readPointers(handles, count).map((handle) => this.addHandle(handle));
  }

  private addHandle(handle: Pointer): TensorMetadata {
    const { c, status } = this.tensorflow;
    const dtype = c.TFE_TensorHandleDataType(handle);
    const rank = c.TFE_TensorHandleNumDims(handle, status);
    const shape = Array.from({ length: Math.max(rank, 0) }, (_, i) =>
      c.TFE_TensorHandleDim(handle, i, status),
    );
    check(this.tensorflow, () => 'A result');
    return { id: this.add({ handle, shape, dtype }), shape, dtype };
  }

  private moveToDevice(handle: Pointer, device: string, shape: readonly number[], dtype: number): Pointer {
    const { c, context, status } = this.tensorflow;
    const moved = c.TFE_TensorHandleCopyToDevice(handle, context, device, status);
    c.TFE_DeleteTensorHandle(handle);
    check(this.tensorflow, () => `A tensor ${describe(dtype, shape)} cannot be copied to ${device}`);
    return moved;
  }

  private add(entry: Entry): number {
    const id = nextId++;
    this.entries.set(id, entry);
    return id;
  }

  private entry(id: number): Entry {
    const entry = this.entries.get(id);
    if (entry === undefined) {
      throw new BackendError(`A tensor was used after it was disposed, at ${callerLine()}.`);
    }
    return entry;
  }

  private eagerEntry(id: number): Eager {
    const entry = this.entry(id);
    if (isTraced(entry)) throw this.foreign(entry);
    return entry;
  }
}
