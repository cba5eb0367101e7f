import * as tf from '@tensorflow/tfjs';
import { BackendError } from '../common/errors.ts';
import { flatten, mapNest } from './nest.ts';
import { currentTensorFlow, type TensorFlowBackend } from './tensorflow/backend.ts';
import { type DefinedFunction, defineFunction, type TensorSpec } from './tensorflow/function.ts';
import { resourceOf } from './tensorflow/resource.ts';
import type { Symbolic } from './tensorflow/trace.ts';

export interface CompileOptions {
  /** the function's name in messages; its JavaScript name if none is given */
  name?: string;
  /**
   * Compile with XLA rather than run as a TensorFlow graph, the default. A graph is there at once, and faster for products
   * of many rows on a CPU; XLA is faster for many small ops, and on a GPU takes a second or two for each signature.
   */
  xla?: boolean;
}

/** A function whose calls run as one TensorFlow function for each signature of their arguments. */
export interface Compiled<A extends unknown[], R> extends Disposable {
  (...args: A): R;
  /** How many signatures it has been traced for, those that fell out of the cache included. */
  readonly traces: number;
  /** Releases the traced functions. */
  dispose(): void;
}

// A training run has a few length buckets; more signatures than this point at shapes that were to be padded.
const MAX_SIGNATURES = 64;

interface Traced<R> {
  definition: DefinedFunction;
  /** the result with the tensors of the trace in it, as a pattern for the real one */
  result: R;
}

/**
 * Compiles a function of tensors, as `jax.jit` does: it is traced at the first call for each signature (structure,
 * shapes and dtypes of its arguments; values that are no tensors count by value), and then runs as one TensorFlow
 * function, without tfjs and without JavaScript. Any tfjs code can be traced, `tf.grads` included.
 *
 * - Arguments and result are tensors, or records and arrays of them; `Variable`s are taken too.
 * - Tensors from outside are used as they were at the first call; `tf.Variable`s and `Variable`s as they are.
 * - Values cannot be read while tracing, and shapes must not depend on values.
 * - JavaScript's random numbers (`tf.randomNormal`, `tf.dropout`) are drawn once, at tracing: use `uniform`.
 * - Called inside of another compiled function, the function becomes part of that one.
 * - On other backends it just runs, and frees its intermediate tensors.
 *
 * @throws BackendError if something cannot be traced or run; it names the op and the line that called it
 */
export function compile<A extends unknown[], R>(
  fn: (...args: A) => R,
  { name = fn.name || 'compiled', xla = false }: CompileOptions = {},
): Compiled<A, R> {
  const cache = new Map<string, Traced<R>>();
  let cachedFor: TensorFlowBackend | undefined;
  let traces = 0;

  const release = (key: string): void => {
    cache.get(key)?.definition[Symbol.dispose]();
    cache.delete(key);
  };
  const dispose = (): void => {
    for (const key of [...cache.keys()]) release(key);
  };

  const lookUp = (backend: TensorFlowBackend, key: string, args: A): Traced<R> => {
    if (backend !== cachedFor) dispose();
    cachedFor = backend;
    const traced = cache.get(key) ?? trace(backend, name, xla, fn, args);
    if (!cache.delete(key)) traces++;
    cache.set(key, traced); // The last in the map is the one used last.
    if (cache.size > MAX_SIGNATURES) release(cache.keys().next().value as string);
    return traced;
  };

  const compiled = (...args: A): R => {
    const backend = currentTensorFlow();
    if (backend === undefined || backend.binding.trace !== undefined) return runAsItIs(fn, args);
    const { tensors, variables, key } = flatten(args);
    const { definition, result } = lookUp(backend, key, args);
    const ids = [
      ...tensors.map((tensor) => backend.idOf(tensor)),
      ...variables.map((variable) => resourceOf(variable).id),
    ];
    const outputs = definition.call(ids).map((output) => backend.createOutputTensor(output));
    const tracked = withoutGradient(name, tensors, outputs);
    return mapNest(result, () => tracked.shift() as tf.Tensor);
  };
  return Object.defineProperty(Object.assign(compiled, { dispose, [Symbol.dispose]: dispose }), 'traces', {
    get: () => traces,
  }) as Compiled<A, R>;
}

function runAsItIs<A extends unknown[], R>(fn: (...args: A) => R, args: A): R {
  // As when compiled, a result is a tensor of its own even where the function returns one that it was given.
  return tf.tidy(() => mapNest(fn(...args), (tensor) => tensor.clone()) as tf.TensorContainer) as R;
}

function trace<A extends unknown[], R>(
  backend: TensorFlowBackend,
  name: string,
  xla: boolean,
  fn: (...args: A) => R,
  args: A,
): Traced<R> {
  if (tf.env().getBool('DEBUG')) {
    throw new BackendError(
      `${name} cannot be traced in tfjs's debug mode, which reads the result of every op. ` +
        'Leave out tf.enableDebugMode() or compile().',
    );
  }
  const { tensors, variables } = flatten(args);
  const { binding } = backend;
  const inputs: TensorSpec[] = [
    ...tensors.map((tensor) => binding.describe(backend.idOf(tensor))),
    ...variables.map((variable) => binding.describe(resourceOf(variable).id)),
  ];
  let result!: R;
  const definition = defineFunction(backend, name, xla, inputs, (ids, symbolOf) => {
    const symbols: Symbolic[] = [];
    tf.tidy(() => {
      const tensorIds = ids.slice(0, tensors.length);
      const resourceIds = ids.slice(tensors.length);
      const tracedVariables = new Map(
        variables.map((variable, i) => [
          variable,
          variable.withStorage(resourceOf(variable).at(resourceIds[i] as number)),
        ]),
      );
      const tracedArgs = mapNest(
        args,
        () => backend.tensorOf(tensorIds.shift() as number),
        (variable) => tracedVariables.get(variable) ?? variable,
      );
      result = fn(...tracedArgs);
      for (const tensor of flatten(result).tensors) symbols.push(symbolOf(backend.idOf(tensor)));
    });
    return symbols;
  });
  return { definition, result };
}

/**
 * Makes a gradient through a compiled function an error rather than zero: tfjs's tape sees nothing of what is in it.
 */
function withoutGradient(name: string, inputs: tf.Tensor[], outputs: tf.Tensor[]): tf.Tensor[] {
  if (tf.engine().state.gradientDepth === 0 || inputs.length === 0) return outputs;
  return outputs.map((output) =>
    tf.customGrad(() => ({
      value: output,
      gradFunc: () => {
        throw new BackendError(
          `No gradient flows through the compiled function ${name}. Call tf.grad inside of what is compiled.`,
        );
      },
    }))(...inputs),
  );
}
