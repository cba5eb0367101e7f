import { BackendError } from '../../common/errors.ts';
import { type Attribute, type AttributeSetters, graphSetters, setAttribute } from './attributes.ts';
import { callerLine } from './callerLine.ts';
import { check, type TensorFlow } from './context.ts';
import { attributesForDigest, Digest } from './digest.ts';
import { describe, DType, dtypeName } from './dtypes.ts';
import { type Output, type Pointer, copyOut } from './library.ts';
import { decodeMessage } from './protobuf.ts';

/** A tensor of a graph that is being traced. */
export interface Symbolic extends Output {
  shape: number[];
  dtype: number;
  /** the op that makes it */
  op: string;
}

/**
 * A function in the making: a `TF_Graph` that grows by one node for each op that is called while it is open.
 *
 * Nodes that read or write a variable run in the order in which they were traced, as control dependencies make
 * them (what `tf.function` in Python calls automatic control dependencies).
 */
export class Trace {
  /** Inputs that stand for tensors from outside of the trace, by their number in the binding. */
  readonly captures = new Map<number, Symbolic>();
  /** Functions that nodes of this one call: they have to live as long as it does. */
  readonly callees: Disposable[] = [];
  private readonly graph: Pointer;
  private readonly setters: AttributeSetters;
  private readonly inputs: Symbolic[] = [];
  /* By variable: the node that wrote it last, and those that have read it since. */
  private readonly lastWrite = new Map<string, Pointer>();
  private readonly readsSince = new Map<string, Pointer[]>();
  private readonly digest = new Digest();
  private nodes = 0;

  /**
   * @param name the function's name, for messages
   * @param xla whether the function will be compiled by XLA
   */
  constructor(
    private readonly tensorflow: TensorFlow,
    readonly name: string,
    readonly xla: boolean,
  ) {
    this.graph = tensorflow.c.TF_NewGraph();
    this.setters = graphSetters(tensorflow.c);
  }

  /** Adds an input of the function. Inputs come in the order in which they were added. */
  addInput(shape: readonly number[], dtype: number): Symbolic {
    const { c, status } = this.tensorflow;
    const description = this.newNode('Placeholder');
    c.TF_SetAttrType(description, 'dtype', dtype);
    c.TF_SetAttrShape(description, 'shape', BigInt64Array.from(shape, BigInt), shape.length);
    const oper = c.TF_FinishOperation(description, status);
    check(this.tensorflow, () => `An input ${describe(dtype, shape)} cannot be traced`);
    this.digest.note(oper, ['input', shape, dtype]);
    const input = { oper, index: 0, shape: [...shape], dtype, op: 'Placeholder' };
    this.inputs.push(input);
    return input;
  }

  /** The input that stands for a tensor from outside of the trace, which has the number `id` there. */
  capture(id: number, shape: readonly number[], dtype: number): Symbolic {
    let input = this.captures.get(id);
    if (input === undefined) {
      input = this.addInput(shape, dtype);
      this.captures.set(id, input);
    }
    return input;
  }

  /** Adds a constant. The `TF_Tensor` is copied. */
  addConstant(tensor: Pointer, shape: readonly number[], dtype: number): Symbolic {
    const { c, status } = this.tensorflow;
    const description = this.newNode('Const');
    c.TF_SetAttrType(description, 'dtype', dtype);
    c.TF_SetAttrTensor(description, 'value', tensor, status);
    const oper = c.TF_FinishOperation(description, status);
    check(this.tensorflow, () => `A constant ${describe(dtype, shape)} cannot be traced`);
    this.digest.note(oper, ['constant', shape, dtype, ...(dtype === DType.STRING ? [strings++] : [])]);
    if (dtype !== DType.STRING)
      this.digest.add(copyOut(c.TF_TensorData(tensor), c.TF_TensorByteSize(tensor)));
    return { oper, index: 0, shape: [...shape], dtype, op: 'Const' };
  }

  /**
   * Adds a node.
   *
   * @param shape the shape of its output, where TensorFlow cannot infer it
   * @throws BackendError if TensorFlow refuses it, or if the shape of a result is not known while tracing
   */
  addNode(
    op: string,
    attributes: readonly Attribute[],
    inputs: readonly Symbolic[],
    shape?: readonly number[],
  ): Symbolic[] {
    const { c, status } = this.tensorflow;
    const description = this.newNode(op);
    this.addInputs(op, description, attributes, inputs);
    for (const attribute of attributes) setAttribute(this.setters, description, attribute);
    const variables = inputs.filter((input) => input.dtype === DType.RESOURCE).map(variableKey);
    const before = variables.flatMap((variable) => this.nodesBefore(op, variable));
    for (const node of before) c.TF_AddControlInput(description, node);
    const oper = c.TF_FinishOperation(description, status);
    const what = (): string =>
      `${op}(${inputs.map((input) => describe(input.dtype, input.shape)).join(', ')}) in the traced ` +
      `function ${this.name}, called at ${callerLine()}`;
    check(this.tensorflow, what);
    this.digest.note(oper, [op, attributesForDigest(attributes), shape ?? null], inputs, before);
    for (const variable of variables) this.noteEffect(op, variable, oper);
    return Array.from({ length: c.TF_OperationNumOutputs(oper) }, (_, index) => {
      const output = { oper, index };
      if (shape !== undefined) {
        c.TF_GraphSetTensorShape(this.graph, output, BigInt64Array.from(shape, BigInt), shape.length, status);
        check(this.tensorflow, what);
      }
      const dtype = c.TF_OperationOutputType(output);
      return { ...output, op, dtype, shape: this.staticShape(output, dtype, what) };
    });
  }

  /** Makes functions that are known to the context known to this graph, so that a node can name them. */
  addFunction(definition: Pointer): void {
    this.tensorflow.c.TF_GraphCopyFunction(this.graph, definition, 0, this.tensorflow.status);
    check(this.tensorflow, () => `A function cannot be used in ${this.name}`);
  }

  /**
   * Ends the trace: makes the function, named by its content. All writes to variables happen, whether an output needs
   * them or not.
   * @returns a `TF_Function`, and its name
   */
  finish(outputs: readonly Symbolic[]): { definition: Pointer; functionName: string } {
    const { c, status } = this.tensorflow;
    // An output that is an input needs a node of its own.
    const results = outputs.map((output) => this.addNode('Identity', [], [output])[0] as Symbolic);
    const effects = [...new Set(this.lastWrite.values())];
    const control = BigUint64Array.from(effects, BigInt);
    this.digest.addOutputs(this.inputs);
    this.digest.addOutputs(results);
    const functionName = `${this.name.replace(/\W/g, '_')}_${this.digest.end()}`;
    const definition = c.TF_GraphToFunctionWithControlOutputs(
      this.graph, functionName, 0, -1, null,
      this.inputs.length, this.inputs, results.length, results, null,
      effects.length, effects.length > 0 ? control : null, null, 0, null, status,
    ); // prettier-ignore
    check(this.tensorflow, () => `The traced function ${this.name}`);
    return { definition, functionName };
  }

  /** Frees the graph. */
  [Symbol.dispose](): void {
    this.tensorflow.c.TF_DeleteGraph(this.graph);
  }

  private newNode(op: string): Pointer {
    return this.tensorflow.c.TF_NewOperation(this.graph, op, `${op}_${this.nodes++}`);
  }

  private addInputs(
    op: string,
    description: Pointer,
    attributes: readonly Attribute[],
    inputs: readonly Symbolic[],
  ): void {
    const { c } = this.tensorflow;
    let at = 0;
    for (const listAttribute of inputLists(this.tensorflow, this.graph, op)) {
      const next = inputs[at];
      if (listAttribute === undefined) {
        if (next !== undefined) c.TF_AddInput(description, next);
        at++;
        continue;
      }
      const value = attributes.find(({ name }) => name === listAttribute)?.value;
      const length = Array.isArray(value) ? value.length : Number(value);
      c.TF_AddInputList(description, inputs.slice(at, at + length), length);
      at += length;
    }
  }

  private nodesBefore(op: string, variable: string): Pointer[] {
    const write = this.lastWrite.get(variable);
    const writes = write === undefined ? [] : [write];
    return isRead(op) ? writes : [...writes, ...(this.readsSince.get(variable) ?? [])];
  }

  private noteEffect(op: string, variable: string, node: Pointer): void {
    if (isRead(op)) {
      this.readsSince.set(variable, [...(this.readsSince.get(variable) ?? []), node]);
    } else {
      this.lastWrite.set(variable, node);
      this.readsSince.delete(variable);
    }
  }

  private staticShape(output: Output, dtype: number, what: () => string): number[] {
    const { c, status } = this.tensorflow;
    if (dtype === DType.RESOURCE) return [];
    const rank = c.TF_GraphGetTensorNumDims(this.graph, output, status);
    const dims = new BigInt64Array(Math.max(rank, 1));
    if (rank > 0) c.TF_GraphGetTensorShape(this.graph, output, dims, rank, status);
    check(this.tensorflow, what);
    const shape = Array.from(dims.subarray(0, Math.max(rank, 0)), Number);
    if (rank < 0 || shape.includes(-1)) {
      throw new BackendError(
        `${what()}: the shape of the result (${dtypeName(dtype)}) depends on values, ` +
          'and a traced function needs static shapes. Call this op outside of `compile`, or pad to a fixed size.',
      );
    }
    return shape;
  }
}

/* What stands in memory for texts are addresses: each constant of them is one of its own. */
let strings = 0;

const variableKey = ({ oper, index }: Output): string => `${oper}:${index}`;
const isRead = (op: string): boolean => op === 'ReadVariableOp';

const inputListsOf = new Map<string, (string | undefined)[]>();

/**
 * For each input of an op: the attribute that says how many tensors it takes, or undefined if it takes one
 * (OpDef.input_arg's number_attr and type_list_attr, tensorflow/core/framework/op_def.proto).
 */
function inputLists(tensorflow: TensorFlow, graph: Pointer, op: string): (string | undefined)[] {
  const known = inputListsOf.get(op);
  if (known !== undefined) return known;
  const { c, status } = tensorflow;
  const buffer = c.TF_NewBuffer();
  c.TF_GraphGetOpDef(graph, op, buffer, status);
  check(tensorflow, () => `The op ${op}`);
  // TF_Buffer: { const void* data; size_t length; ... }
  const [data = 0n, length = 0n] = new BigUint64Array(copyOut(buffer, 16).buffer);
  const lists = decodeMessage(copyOut(Number(data), Number(length)))
    .filter(([field]) => field === 2) // input_arg
    .map(([, argument]) => {
      const list = decodeMessage(argument as Uint8Array).find(([field]) => field === 5 || field === 6);
      return list === undefined ? undefined : Buffer.from(list[1] as Uint8Array).toString();
    });
  c.TF_DeleteBuffer(buffer);
  inputListsOf.set(op, lists);
  return lists;
}
