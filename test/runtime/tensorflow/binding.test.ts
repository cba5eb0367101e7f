import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { BackendError } from '../../../src/common/errors.ts';
import { type Attribute, AttrType } from '../../../src/runtime/tensorflow/attributes.ts';
import { currentTensorFlow, type TensorFlowBackend } from '../../../src/runtime/tensorflow/backend.ts';
import type { TensorMetadata } from '../../../src/runtime/tensorflow/binding.ts';
import { DType } from '../../../src/runtime/tensorflow/dtypes.ts';
import { defineFunction } from '../../../src/runtime/tensorflow/function.ts';
import type { Values } from '../../../src/runtime/tensorflow/tensors.ts';
import { useBackend } from '../../support/backends.ts';

const backend = (): TensorFlowBackend => currentTensorFlow() as TensorFlowBackend;
const attribute = (name: string, type: number, value: Attribute['value']): Attribute => ({
  name,
  type,
  value,
});

/* Runs an op on values, eagerly and in a traced function, and gives the values of its results. */
function runBothWays(
  op: string,
  attributes: Attribute[],
  inputs: { shape: number[]; dtype: number; values: Values }[],
  count = 1,
): Values[][] {
  const { binding } = backend();
  const ids = inputs.map(({ shape, dtype, values }) => binding.createEager(shape, dtype, values));
  const read = (results: TensorMetadata[]): Values[] =>
    results.map(({ id }) => {
      const values = binding.tensorDataSync(id);
      binding.deleteTensor(id);
      return values;
    });
  const eager = read(binding.executeOp(op, attributes, ids, count));
  using traced = defineFunction(backend(), op, false, inputs, (symbols, symbolOf) => {
    const results = binding.executeOp(op, attributes, symbols, count);
    const outputs = results.map(({ id }) => symbolOf(id));
    for (const { id } of results) binding.deleteTensor(id);
    return outputs;
  });
  const graph = read(traced.call(ids));
  for (const id of ids) binding.deleteTensor(id);
  return [eager, graph];
}

describe('the binding', () => {
  useBackend('tensorflow');

  const long = 'a string that is too long for the 24 bytes of its slot, and so has memory of its own';
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  it.each<[string, number, Values, Values]>([
    ['float32', DType.FLOAT, Float32Array.of(1.5, -Infinity, NaN), Float32Array.of(1.5, -Infinity, NaN)],
    ['int32', DType.INT32, Int32Array.of(1, -(2 ** 31), 7), Int32Array.of(1, -(2 ** 31), 7)],
    ['bool', DType.BOOL, Uint8Array.of(1, 0, 1), Uint8Array.of(1, 0, 1)],
    ['uint8', DType.UINT8, Uint8Array.of(255, 0, 3), Uint8Array.of(255, 0, 3)],
    [
      'int64',
      DType.INT64,
      BigInt64Array.of(2n ** 62n, -1n, 0n) as unknown as Values,
      BigInt64Array.of(2n ** 62n, -1n, 0n) as unknown as Values,
    ],
    ['complex64', DType.COMPLEX64, Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(1, 2, 3, 4, 5, 6)],
    ['string', DType.STRING, ['short', long, 'ä€\u{1f426}'], ['short', long, 'ä€\u{1f426}'].map(bytes)],
    [
      'bfloat16',
      DType.BFLOAT16,
      Uint8Array.of(0x80, 0x3f, 0, 0xc0, 1, 2),
      Uint8Array.of(0x80, 0x3f, 0, 0xc0, 1, 2),
    ],
  ])('carries %s in and out', (_, dtype, values, expected) => {
    const attributes = [attribute('T', AttrType.TYPE, dtype)];
    const results = runBothWays('Identity', attributes, [{ shape: [3], dtype, values }]);
    for (const [result] of results) expect(result).toEqual(expected);
  });

  it('takes an int64 as tfjs-node passes it, in two halves', () => {
    const { binding } = backend();
    const id = binding.createEager([], DType.INT64, Int32Array.of(5, 1));
    expect(binding.tensorDataSync(id)).toEqual(BigInt64Array.of(2n ** 32n + 5n));
    binding.deleteTensor(id);
  });

  it('sets attributes of every kind: numbers, strings, types, shapes, and lists of them', () => {
    const x = { shape: [1, 2, 2, 1], dtype: DType.FLOAT, values: Float32Array.of(1, 2, 3, 4) };
    const pool = [
      attribute('T', AttrType.TYPE, DType.FLOAT),
      attribute('ksize', AttrType.INT, [1, 2, 2, 1]),
      attribute('strides', AttrType.INT, [1, 2, 2, 1]),
      attribute('padding', AttrType.STRING, 'VALID'),
    ];
    for (const [result] of runBothWays('MaxPool', pool, [x])) expect(result).toEqual(Float32Array.of(4));

    const leaky = [attribute('T', AttrType.TYPE, DType.FLOAT), attribute('alpha', AttrType.FLOAT, 0.5)];
    const negative = { ...x, values: Float32Array.of(-1, 2, -3, 4) };
    for (const [result] of runBothWays('LeakyRelu', leaky, [negative])) {
      expect(result).toEqual(Float32Array.of(-0.5, 2, -1.5, 4));
    }

    // A list of types, and inputs that are a list of as many tensors; then a list of shapes.
    const types = [attribute('T', AttrType.TYPE, [DType.FLOAT, DType.INT32])];
    const pair = [x, { shape: [1], dtype: DType.INT32, values: Int32Array.of(9) }];
    for (const results of runBothWays('IdentityN', types, pair, 2)) {
      expect(results).toEqual([x.values, Int32Array.of(9)]);
    }
    const { binding } = backend();
    const barrier = binding.executeOp(
      'FIFOQueueV2',
      [
        attribute('component_types', AttrType.TYPE, [DType.FLOAT, DType.INT32]),
        attribute('shapes', AttrType.SHAPE, [[2, 3], []]),
        attribute('capacity', AttrType.INT, 2),
        attribute('shared_name', AttrType.STRING, 'queue'),
      ],
      [],
      1,
    );
    expect(barrier[0]?.dtype).toBe(DType.RESOURCE);
    for (const { id } of barrier) binding.deleteTensor(id);

    const floats = [
      attribute('values', AttrType.FLOAT, [0.25, 4]),
      attribute('T', AttrType.TYPE, DType.FLOAT),
      attribute('boundaries', AttrType.FLOAT, [2, 3]),
    ].slice(1);
    for (const [result] of runBothWays('Bucketize', floats, [x]))
      expect(result).toEqual(Int32Array.of(0, 1, 2, 2));
    const strings = [attribute('pattern', AttrType.STRING, 'b+'), attribute('rewrite', AttrType.STRING, 'c')];
    const text = { shape: [1], dtype: DType.STRING, values: ['abba'] };
    for (const [result] of runBothWays('StaticRegexReplace', strings, [text]))
      expect(result).toEqual([bytes('aca')]);
  });

  it('refuses an attribute of a kind that ops do not have', () => {
    const { binding } = backend();
    expect(() => binding.executeOp('Identity', [attribute('T', 99, 1)], [], 1)).toThrow(
      /attribute T is of kind 99/,
    );
  });

  it('turns what TensorFlow refuses into an error that names op, shapes and dtypes', () => {
    const { binding } = backend();
    const ids = [
      binding.createEager([2, 3], DType.FLOAT, new Float32Array(6)),
      binding.createEager([1], DType.INT32, Int32Array.of(1)),
    ];
    const run = (): unknown =>
      binding.executeOp('AddV2', [attribute('T', AttrType.TYPE, DType.FLOAT)], ids, 1);
    expect(run).toThrow(BackendError);
    expect(run).toThrow(/^AddV2\(float32\[2, 3\], int32\[1\]\): /);
    expect(() => binding.executeOp('NoSuchOp', [], ids, 1)).toThrow(
      /^NoSuchOp\(float32\[2, 3\], int32\[1\]\): .*NoSuchOp/,
    );
    for (const id of ids) binding.deleteTensor(id);
  });

  it('refuses values that do not fill the shape', () => {
    expect(() => backend().binding.createEager([4], DType.FLOAT, new Float32Array(3))).toThrow(
      /float32\[4\] needs 16 bytes of values, but got 12/,
    );
  });

  it('frees tensors when tfjs disposes them', () => {
    const { binding } = backend();
    const before = binding.getNumOfTensors();
    const x = tf.ones([3]).square();
    expect(binding.getNumOfTensors()).toBeGreaterThan(before);
    const values = tf.tensor(['text', long], [2]).reshape([2, 1]);
    expect(values.dataSync<'string'>()).toEqual(['text', long]);
    tf.dispose([x, values]);
    tf.engine().endScope();
    tf.engine().startScope();
    expect(binding.getNumOfTensors()).toBe(before);
  });
});
