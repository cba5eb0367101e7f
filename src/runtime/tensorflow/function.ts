import { BackendError, messageOf } from '../../common/errors.ts';
import { boolAttribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import { check } from './context.ts';
import type { Pointer } from './library.ts';
import { xlaCacheFolder } from './options.ts';
import { type Symbolic, Trace } from './trace.ts';

/** A tensor's shape and TensorFlow type. */
export interface TensorSpec {
  shape: readonly number[];
  dtype: number;
}

/** What is traced: gets the numbers of the inputs, and returns the nodes that stand for the outputs. */
export type Body = (ids: number[], symbolOf: (id: number) => Symbolic) => Symbolic[];

/** A function that is traced but not yet defined: its trace can still get inputs. */
export class OpenFunction {
  readonly trace: Trace;
  private outputs: Symbolic[] = [];
  private isDefined = false;

  constructor(
    private readonly backend: TensorFlowBackend,
    name: string,
    xla: boolean,
  ) {
    this.trace = new Trace(backend.binding.tensorflow, name, xla);
  }

  /**
   * Traces `body`. The outer tensors in `captured` become inputs in that order, before those that `body` captures
   * itself.
   */
  run(inputs: readonly TensorSpec[], captured: Iterable<number>, body: Body): this {
    const { binding } = this.backend;
    const { trace } = this;
    const ids = inputs.map(({ shape, dtype }) => binding.addSymbol(trace, trace.addInput(shape, dtype)));
    for (const id of captured) binding.symbolOf(id, trace);
    try {
      this.outputs = binding.within(trace, () => body(ids, (id) => binding.symbolOf(id, trace)));
    } finally {
      for (const id of ids) binding.deleteTensor(id);
    }
    return this;
  }

  /** Adds outputs after those of the body. */
  addOutputs(symbols: Iterable<Symbolic>): this {
    this.outputs.push(...symbols);
    return this;
  }

  /** Makes the function and makes it known to TensorFlow. */
  define(): DefinedFunction {
    const { tensorflow } = this.backend.binding;
    const { c, context, status } = tensorflow;
    const { definition, functionName } = this.trace.finish(this.outputs);
    c.TFE_ContextAddFunction(context, definition, status);
    check(tensorflow, () => `The traced function ${functionName}`);
    this.isDefined = true;
    return new DefinedFunction(
      this.backend,
      functionName,
      definition,
      [...this.trace.captures.keys()],
      this.outputs.length,
      this.trace.xla,
      this.trace.callees,
    );
  }

  /** Frees the graph, and the functions that it would have called if it came to nothing. */
  [Symbol.dispose](): void {
    this.trace[Symbol.dispose]();
    if (!this.isDefined) for (const callee of this.trace.callees) callee[Symbol.dispose]();
  }
}

/** A function that TensorFlow knows by name; disposing it makes TensorFlow forget it. */
export class DefinedFunction {
  constructor(
    private readonly backend: TensorFlowBackend,
    readonly name: string,
    private readonly definition: Pointer,
    /** numbers of the outer tensors that it takes after its inputs */
    private readonly captured: readonly number[],
    private readonly outputCount: number,
    private readonly xla: boolean,
    private readonly callees: readonly Disposable[],
  ) {}

  /** Calls the function; inside of a trace the call becomes a node of it. */
  call(inputs: readonly number[]): TensorMetadata[] {
    const { binding } = this.backend;
    binding.trace?.addFunction(this.definition);
    const captured = this.captured.map((id) => this.backend.currentId(id));
    try {
      return binding.executeOp(this.name, this.xla ? XLA : [], [...inputs, ...captured], this.outputCount);
    } catch (error) {
      throw this.xla ? explain(error) : error;
    }
  }

  /** Lets the open trace call this function from a node of its own making, and own it. */
  giveTo(trace: Trace): void {
    trace.addFunction(this.definition);
    trace.callees.push(this);
  }

  [Symbol.dispose](): void {
    const { c, context, status } = this.backend.binding.tensorflow;
    c.TFE_ContextRemoveFunction(context, this.name, status);
    c.TF_DeleteFunction(this.definition);
    for (const callee of this.callees) callee[Symbol.dispose]();
  }
}

/* What is wrong around XLA looks like something wrong with the function. */
function explain(error: unknown): unknown {
  const message = messageOf(error);
  // XLA frees no code: each function takes some 15 of the 65,530 memory areas that Linux gives a process by default.
  if (message.includes('Failed to materialize symbols')) {
    return new BackendError(
      `${message}. This process has compiled so many functions that it may have no more areas of memory ` +
        '(vm.max_map_count). Go on in a new process (a training: --resume), or raise that limit.',
    );
  }
  if (/Trying to access resource .* located in device/.test(message)) {
    return new BackendError(
      `${message}. TensorFlow keeps int32 variables on the host, where a function that XLA compiles for a GPU cannot read ` +
        'them. Compile it with `xla: false`, or keep the variable in float32.',
    );
  }
  if (!/xla_compile_cache|Read less bytes/.test(message)) return error;
  return new BackendError(
    `${message}. That is XLA's cache in ${xlaCacheFolder()}: its disk is full, or a file in it is damaged. ` +
      'Free some space, or delete the folder.',
  );
}

// XLA compiles the whole function, or fails with a message that names the op that it cannot compile.
const XLA = [boolAttribute('_XlaMustCompile', true)];

/** Traces a function and makes it known to TensorFlow. */
export function defineFunction(
  backend: TensorFlowBackend,
  name: string,
  xla: boolean,
  inputs: readonly TensorSpec[],
  body: Body,
): DefinedFunction {
  using open = new OpenFunction(backend, name, xla);
  return open.run(inputs, [], body).define();
}
