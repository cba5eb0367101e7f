import * as tf from '@tensorflow/tfjs';
import { BackendError } from '../common/errors.ts';
import { compile } from './compile.ts';
import { flatten, mapNest } from './nest.ts';
import { currentTensorFlow, type TensorFlowBackend } from './tensorflow/backend.ts';
import type { Body } from './tensorflow/function.ts';
import type { Trace } from './tensorflow/trace.ts';
import { addWhile } from './tensorflow/while.ts';

/**
 * Repeats `body` as long as `cond` holds, on the device: inside of a compiled function it becomes TensorFlow's
 * `While`, and no value comes back to JavaScript in between. On other backends it is an ordinary loop.
 *
 * No gradient flows through it.
 *
 * @param cond makes a bool scalar of the state
 * @param body makes the next state; structure, shapes and dtypes have to stay as they are. It may read and write
 *   `Variable`s
 * @param state a tensor, or records and arrays of tensors, which stay the caller's
 * @returns the state at the end
 * @throws BackendError if `body` changes a shape or dtype, or `cond` makes no bool scalar
 */
export function whileLoop<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, state: S): S {
  const backend = currentTensorFlow();
  if (backend === undefined) return ordinaryLoop(cond, body, state);
  const { trace } = backend.binding;
  if (trace !== undefined) return tracedLoop(backend, trace, cond, body, state);
  using once = compile((begin: S) => whileLoop(cond, body, begin), { name: 'whileLoop' });
  return once(state);
}

function ordinaryLoop<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, begin: S): S {
  const { key } = flatten(begin);
  const next = (make: () => S): S =>
    tf.tidy(() => mapNest(make(), (tensor) => tensor.clone()) as tf.TensorContainer) as S;
  let state = next(() => begin);
  while (tf.tidy(() => checkCondition(cond(state)).dataSync()[0] === 1)) {
    const before = state;
    state = next(() => body(before));
    tf.dispose(before as tf.TensorContainer);
    checkState(key, state);
  }
  return state;
}

function tracedLoop<S>(
  backend: TensorFlowBackend,
  trace: Trace,
  cond: (state: S) => tf.Tensor,
  body: (state: S) => S,
  begin: S,
): S {
  const { tensors, key } = flatten(begin);
  const traced =
    (fn: (state: S) => tf.Tensor[]): Body =>
    (ids, symbolOf) => {
      const symbols: ReturnType<typeof symbolOf>[] = [];
      tf.tidy(() => {
        const rest = [...ids];
        const state = mapNest(begin, () => backend.tensorOf(rest.shift() as number));
        symbols.push(...fn(state).map((tensor) => symbolOf(backend.idOf(tensor))));
      });
      return symbols;
    };
  const results = addWhile(
    backend,
    trace,
    tensors.map((tensor) => backend.idOf(tensor)),
    traced((state) => [checkCondition(cond(state))]),
    traced((state) => {
      const next = body(state);
      checkState(key, next);
      return flatten(next).tensors;
    }),
  );
  return mapNest(begin, () => backend.createOutputTensor(results.shift() as (typeof results)[number]));
}

function checkCondition(condition: tf.Tensor): tf.Tensor {
  if (condition.dtype === 'bool' && condition.rank === 0) return condition;
  throw new BackendError(
    `whileLoop: cond returned ${condition.dtype}[${condition.shape.join(', ')}], but has to return a bool scalar.`,
  );
}

function checkState(key: string, state: unknown): void {
  const now = flatten(state).key;
  if (now === key) return;
  throw new BackendError(
    `whileLoop: body returned a state of another form: ${now} after ${key}. Structure, shapes and dtypes have to ` +
      'stay as they are; pad to a fixed size.',
  );
}
