/*
 * Measures which of tfjs's kernels run in a traced function, as a graph and under XLA: every distinct kernel call of
 * tfjs-core's own test suite is recorded as it runs eagerly, then run again through `compile`, and its results are
 * compared. Then the ops that tfjs makes in JavaScript, of random numbers or of values read back, are traced too.
 * Prints tables of what fails, which docs/runtime-ops.md explains.
 *
 * Run: npx tsx scripts/list-untraceable-ops.ts    (about six minutes)
 */
import * as tf from '@tensorflow/tfjs';
import { messageOf } from '../src/common/errors.ts';
import { compile, registerTensorFlowBackend } from '../src/runtime/index.ts';
import { currentTensorFlow } from '../src/runtime/tensorflow/backend.ts';
import { BACKEND_NAME } from '../src/runtime/tensorflow/tfjsNode.ts';
import { runSuite } from '../test/tfjsCore/jasmineSuite.ts';

/** A tensor's form and values. */
interface Recorded {
  shape: number[];
  dtype: tf.DataType;
  values: tf.backend_util.BackendValues;
}
type Input = Recorded | Recorded[] | undefined;

interface Call {
  kernel: string;
  /** by name, or by number where the kernel takes a list */
  inputs: Record<string, Input>;
  isList: boolean;
  attributes: tf.NamedAttrMap;
  results: Recorded[];
}

const WAYS = [
  { way: 'graph', xla: false },
  { way: 'XLA', xla: true },
] as const;

// They draw random numbers, which differ from call to call.
const RANDOM = new Set(['Multinomial']);

const mapInput = <A, B>(input: A | A[] | undefined, of: (one: A) => B): B | B[] | undefined =>
  input === undefined || input === null ? undefined : Array.isArray(input) ? input.map(of) : of(input);

const mapInputs = <A, B>(
  inputs: Record<string, A | A[] | undefined>,
  of: (one: A) => B,
): Record<string, B | B[] | undefined> =>
  Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, mapInput(input, of)]));

function keyOf({ kernel, inputs, attributes }: Call): string {
  const readable = (_: string, value: unknown): unknown =>
    ArrayBuffer.isView(value) ? Array.from(value as Float32Array, String) : value;
  return JSON.stringify([kernel, inputs, attributes], readable);
}

/**
 * Notes each distinct call of a kernel of the backend from now on, but not those that kernels make of one another.
 * @returns a function that ends it
 */
function recordCalls(calls: Map<string, Call>): () => void {
  let isIdle = true;
  const record = ({ dataId, shape, dtype }: tf.TensorInfo): Recorded => {
    const values = tf.backend().readSync(dataId);
    return { shape: [...shape], dtype, values: values.slice() };
  };
  for (const config of tf.getKernelsForBackend(BACKEND_NAME)) {
    tf.unregisterKernel(config.kernelName, BACKEND_NAME);
    tf.registerKernel({
      ...config,
      kernelFunc: (args) => {
        if (!isIdle) return config.kernelFunc(args);
        const inputs = mapInputs(args.inputs as Record<string, tf.TensorInfo>, record);
        isIdle = false;
        let results;
        try {
          results = config.kernelFunc(args);
        } finally {
          isIdle = true;
        }
        const call: Call = {
          kernel: config.kernelName,
          inputs,
          isList: Array.isArray(args.inputs),
          attributes: args.attrs ?? {},
          results: [results].flat().map(record),
        };
        calls.set(keyOf(call), call);
        return results;
      },
    });
  }
  return () => {
    isIdle = false;
  };
}

function toTensor({ shape, dtype, values }: Recorded): tf.Tensor {
  if (dtype !== 'complex64') return tf.tensor(values, shape, dtype);
  const parts = values as Float32Array;
  return tf.complex(
    tf.tensor(
      parts.filter((_, i) => i % 2 === 0),
      shape,
    ),
    tf.tensor(
      parts.filter((_, i) => i % 2 === 1),
      shape,
    ),
  );
}

const isClose = (a: unknown, b: unknown): boolean =>
  Object.is(a, b) || a === b || Math.abs(Number(a) - Number(b)) <= 1e-4 * (1 + Math.abs(Number(b)));

function assertSame(results: tf.Tensor[], expected: Recorded[]): void {
  results.forEach((result, i) => {
    const { shape, dtype, values } = expected[i] as Recorded;
    const form = (of: number[], type: string): string => `${type}[${of.join()}]`;
    if (form(result.shape, result.dtype) !== form(shape, dtype)) {
      throw new Error(`gives ${form(result.shape, result.dtype)}, not ${form(shape, dtype)}`);
    }
    const actual = tf.backend().readSync(result.dataId);
    const text = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString() : value);
    const at = Array.from(values as Float32Array).findIndex((value, j) => !isClose(text(actual[j]), text(value)));
    if (at >= 0) throw new Error(`gives ${String(actual[at])} at [${at}], not ${String(values[at])}`);
  });
} // prettier-ignore

/** Runs a call again through `compile`; throws where that does not give the same. */
function replay({ kernel, inputs, isList, attributes, results }: Call, xla: boolean): void {
  tf.engine().startScope();
  try {
    const tensors = mapInputs(inputs as Record<string, Recorded>, toTensor);
    using compiled = compile(
      (given: typeof tensors) => {
        const all = isList ? Object.values(given) : given;
        return [tf.engine().runKernel(kernel, all as unknown as tf.NamedTensorMap, attributes)].flat();
      },
      { name: kernel, xla },
    );
    const actual = compiled(tensors);
    if (!RANDOM.has(kernel)) assertSame(actual, results);
  } finally {
    tf.engine().endScope();
  }
}

/* Ops that tfjs makes, at least in part, in JavaScript. */
const IN_JAVASCRIPT: Record<string, (x: tf.Tensor2D) => tf.Tensor | tf.Tensor[]> = {
  'tf.randomNormal': () => tf.randomNormal([4]),
  'tf.randomUniform': () => tf.randomUniform([4]),
  'tf.randomUniformInt': () => tf.randomUniformInt([4], 0, 1000),
  'tf.randomStandardNormal': () => tf.randomStandardNormal([4]),
  'tf.randomGamma': () => tf.randomGamma([4], 2),
  'tf.truncatedNormal': () => tf.truncatedNormal([4]),
  'tf.rand': () => tf.rand([4], Math.random),
  'tf.dropout': (x) => tf.dropout(x, 0.5),
  'tf.multinomial': (x) => tf.multinomial(x, 20),
  'tf.linalg.qr': (x) => tf.linalg.qr(x),
  'tf.linalg.gramSchmidt': (x) => tf.linalg.gramSchmidt(x),
  'tf.image.threshold (otsu)': (x) => tf.image.threshold(x.abs().mul(255).as3D(3, 3, 1), 'otsu'),
  'tf.print': (x) => (tf.print(x), x),
  'tf.buffer of a tensor': (x) => x.bufferSync().toTensor(),
  'tf.confusionMatrix': () => tf.math.confusionMatrix([0, 1], [1, 1], 2),
  'tf.gather outside of the tensor': (x) => tf.gather(x, tf.tensor1d([9], 'int32')),
};

const valuesOf = (result: tf.Tensor | tf.Tensor[]): number[] =>
  [result].flat().flatMap((tensor) => Array.from(tensor.dataSync()));

/** What an op does in a traced function, compared with what it does eagerly. */
function describeJavaScriptOp(op: (x: tf.Tensor2D) => tf.Tensor | tf.Tensor[], xla: boolean): string {
  return tf.tidy(() => {
    const x = tf.tensor2d([0.1, 0.7, -0.3, 0.2, 0.9, 0.4, -0.8, 0.5, 0.6], [3, 3]);
    try {
      using compiled = compile((given: tf.Tensor2D) => op(given), { xla });
      const [first, second] = [valuesOf(compiled(x)), valuesOf(compiled(x))];
      if (first.join() !== second.join()) return 'differs from call to call';
      const eager = eagerValues(() => op(x));
      return first.every((value, i) => isClose(value, eager[i])) ? 'gives the eager result' : 'is always the same';
    } catch (error) {
      return messageOf(error).split('\n')[0] ?? '';
    }
  });
} // prettier-ignore

function eagerValues(op: () => tf.Tensor | tf.Tensor[]): number[] {
  try {
    return valuesOf(op());
  } catch {
    return [];
  }
}

registerTensorFlowBackend();
const recorded = new Map<string, Call>();
const stopRecording = recordCalls(recorded);
await runSuite();
stopRecording();

registerTensorFlowBackend();
await tf.setBackend(BACKEND_NAME);
const calls = [...recorded.values()];
const kernels = [...new Set(calls.map(({ kernel }) => kernel))].sort();
console.log(`${calls.length} distinct calls of ${kernels.length} kernels`);
for (const { way, xla } of WAYS) {
  const failures = new Map<string, { count: number; message: string }>();
  for (const call of calls) {
    try {
      replay(call, xla);
    } catch (error) {
      const { count = 0, message = messageOf(error) } = failures.get(call.kernel) ?? {};
      failures.set(call.kernel, { count: count + 1, message });
    }
  }
  const failed = [...failures.values()].reduce((sum, { count }) => sum + count, 0);
  console.log(`\n${way}: ${calls.length - failed} of ${calls.length} give the eager result\n`);
  for (const [kernel, { count, message }] of [...failures].sort()) {
    const all = calls.filter((call) => call.kernel === kernel).length;
    console.log(`| ${kernel} | ${count} of ${all} | ${message.split('\n')[0]?.slice(0, 160) ?? ''} |`);
  }
}
for (const { way, xla } of WAYS) {
  console.log(`\n${way}, ops in JavaScript\n`);
  for (const [name, op] of Object.entries(IN_JAVASCRIPT)) {
    console.log(`| ${name} | ${describeJavaScriptOp(op, xla).slice(0, 160)} |`);
  }
}
console.log(`\nTensorFlow ${currentTensorFlow()?.binding.TF_Version ?? ''}`);
