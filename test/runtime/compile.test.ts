import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { compile, registerTensorFlowBackend, Variable } from '../../src/runtime/index.ts';
import { currentTensorFlow } from '../../src/runtime/tensorflow/backend.ts';
import { countTensors, isOnGpu, onEveryBackend, useBackend } from '../support/backends.ts';

const thrownBy = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    return String(error);
  }
  return 'nothing was thrown';
};

onEveryBackend((backend) => {
  describe.each([{ xla: false }, { xla: true }])('compile with %o', (options) => {
    it('takes and returns nested records and arrays', () => {
      using f = compile(
        ({ a, list }: { a: tf.Tensor; list: [tf.Tensor, number] }) => ({
          sum: a.add(list[0]).mul(list[1]),
          both: [a, { again: list[0] }] as const,
          note: 'kept',
        }),
        options,
      );
      const a = tf.tensor1d([1, 2]);
      const result = f({ a, list: [tf.tensor1d([3, 4]), 10] });
      expect([...result.sum.dataSync()]).toEqual([40, 60]);
      expect([...result.both[1].again.dataSync()]).toEqual([3, 4]);
      expect(result.note).toBe('kept');
      // A result is a tensor of its own, also where the function returns its argument.
      result.both[0].dispose();
      expect([...a.dataSync()]).toEqual([1, 2]);
    });

    it('takes values that are no tensors by value', () => {
      using f = compile((x: tf.Tensor, by: number) => x.mul(by), options);
      const x = tf.scalar(3);
      expect(f(x, 2).dataSync()[0]).toBe(6);
      expect(f(x, 5).dataSync()[0]).toBe(15);
      expect(f(x, 2).dataSync()[0]).toBe(6);
    });

    it('holds gradients', () => {
      using f = compile((x: tf.Tensor) => tf.grad((z: tf.Tensor) => z.square().mul(z).sum())(x), options);
      expect([...f(tf.tensor1d([1, 2])).dataSync()]).toEqual([3, 12]);
    });

    // Under XLA the narrower factor is transposed.
    it.each([
      { a: [7, 3], b: [7, 5], transposeB: false },
      { a: [7, 5], b: [7, 3], transposeB: false },
      { a: [2, 7, 5], b: [2, 7, 3], transposeB: false },
      { a: [7, 5], b: [3, 7], transposeB: true },
    ])('multiplies by a transposed first factor: $a^T, $b', ({ a, b, transposeB }) => {
      const numbers = (shape: number[], step: number): tf.Tensor =>
        tf.range(0, tf.util.sizeFromShape(shape)).mul(step).mod(11).reshape(shape);
      const factors = [numbers(a, 3), numbers(b, 5)] as const;
      using f = compile((x: tf.Tensor, y: tf.Tensor) => tf.matMul(x, y, true, transposeB), options);
      const axes = a.map((_, i) => (i < a.length - 2 ? i : 2 * a.length - 3 - i));
      const expected = tf.matMul(factors[0].transpose(axes), factors[1], false, transposeB);
      const product = f(...factors);
      expect(product.shape).toEqual(expected.shape);
      // Small integers: no rounding in any order.
      expect([...product.dataSync()]).toEqual([...expected.dataSync()]);
    });

    it('uses tensors from outside, also such as no op has used yet', () => {
      const outside = tf.tensor1d([1, 2]);
      using f = compile((x: tf.Tensor) => x.add(outside).add(outside), options);
      expect([...f(tf.scalar(1)).dataSync()]).toEqual([3, 5]);
      expect([...outside.mul(2).dataSync()]).toEqual([2, 4]);
      expect([...f(tf.scalar(2)).dataSync()]).toEqual([4, 6]);
    });

    it('sees tf.Variables as they are at each call', () => {
      const variable = tf.variable(tf.scalar(1));
      using f = compile((x: tf.Tensor) => x.add(variable), options);
      expect(f(tf.scalar(1)).dataSync()[0]).toBe(2);
      variable.assign(tf.scalar(10));
      expect(f(tf.scalar(1)).dataSync()[0]).toBe(11);
      variable.dispose();
    });

    it('takes variables as arguments, so that layers of one shape share a function', () => {
      using f = compile(({ w }: { w: Variable }, x: tf.Tensor) => {
        const y = w.read().mul(x);
        w.assign(y);
        return y;
      }, options);
      using first = Variable.fromTensor(tf.scalar(2));
      using second = Variable.fromTensor(tf.scalar(3));
      expect(f({ w: first }, tf.scalar(5)).dataSync()[0]).toBe(10);
      expect(f({ w: second }, tf.scalar(5)).dataSync()[0]).toBe(15);
      expect([first.read().dataSync()[0], second.read().dataSync()[0]]).toEqual([10, 15]);
      if (backend === 'tensorflow') expect(f.traces).toBe(1);
    });

    it('keeps the order of what is done to a variable that is given twice', () => {
      using f = compile((a: Variable, b: Variable) => {
        a.assign(b.read().add(1));
        b.assign(a.read().mul(10));
        return a.read();
      }, options);
      using one = Variable.fromTensor(tf.scalar(1));
      using other = Variable.fromTensor(tf.scalar(5));
      expect(f(one, one).dataSync()[0]).toBe(20);
      expect(f(one, other).dataSync()[0]).toBe(6);
      expect(other.read().dataSync()[0]).toBe(60);
      if (backend === 'tensorflow') expect(f.traces).toBe(2);
    });

    it('frees intermediate tensors', () => {
      using f = compile((x: tf.Tensor) => {
        const y = x.add(1);
        return y.mul(y);
      }, options);
      const x = tf.scalar(1);
      f(x).dispose();
      const before = countTensors();
      f(x).dispose();
      expect(countTensors()).toEqual(before);
    });

    it('becomes part of a compiled function that calls it', () => {
      using inner = compile((x: tf.Tensor) => x.square(), options);
      using outer = compile((x: tf.Tensor) => tf.grad((z: tf.Tensor) => inner(z).sum())(x), options);
      expect(outer(tf.scalar(3)).dataSync()[0]).toBe(6);
      expect(inner.traces).toBe(0);
    });

    it('runs again after the engine was reset', async () => {
      using f = compile((x: tf.Tensor) => x.add(1), options);
      expect(f(tf.scalar(1)).dataSync()[0]).toBe(2);
      tf.engine().endScope();
      tf.engine().reset();
      await tf.setBackend(backend);
      expect(tf.getBackend()).toBe(backend);
      const one = tf.scalar(1);
      const two = f(one);
      expect(two.dataSync()[0]).toBe(2);
      tf.dispose([one, two]);
      tf.engine().startScope();
      // What was alive before the reset is gone.
      expect(tf.memory().numTensors).toBe(0);
    });
  });
});

describe('compile on tensorflow', () => {
  useBackend('tensorflow');

  it('traces once for records of one structure, whatever the order of their names', () => {
    const layer = ({ a, b }: Record<'a' | 'b', tf.Tensor>): Record<'sum' | 'half', tf.Tensor> => ({
      sum: tf.add(a, b),
      half: tf.div(a, 2),
    });
    using f = compile(layer);
    const [a, b] = [tf.scalar(4), tf.tensor1d([1, 2])];
    for (const result of [f({ a, b }), f({ b, a })]) {
      expect([...result.sum.dataSync(), ...result.half.dataSync()]).toEqual([5, 6, 2]);
    }
    expect(f.traces).toBe(1);
  });

  it('traces once for each signature', () => {
    using f = compile((x: tf.Tensor) => x.add(1));
    f(tf.zeros([2]));
    f(tf.ones([2]));
    expect(f.traces).toBe(1);
    f(tf.zeros([3]));
    f(tf.zeros([2], 'int32'));
    expect(f.traces).toBe(3);
  });

  it('keeps 64 signatures and releases those used longest ago', () => {
    using f = compile((x: tf.Tensor) => x.add(1));
    for (let size = 1; size <= 65; size++) f(tf.zeros([size]));
    expect(f.traces).toBe(65);
    f(tf.zeros([65]));
    expect(f.traces).toBe(65);
    f(tf.zeros([1]));
    expect(f.traces).toBe(66);
  });

  it.each([false, true])('names op and line where a value is read while tracing (xla: %s)', (xla) => {
    const f = compile((x: tf.Tensor) => x.add(1).dataSync(), { name: 'reads', xla });
    const message = thrownBy(() => f(tf.scalar(1)));
    expect(message).toMatch(/BackendError: The value of a tensor float32\[\] that Add.* makes was read at/);
    expect(message).toMatch(/compile\.test\.ts:\d+:\d+ while reads was being traced/);
  });

  it('refuses to read an outside tensor while tracing, whether an op has used it or not', () => {
    const outside = tf.scalar(1);
    const f = compile((x: tf.Tensor) => x.add(outside.dataSync()[0] as number));
    expect(thrownBy(() => f(tf.scalar(1)))).toContain('was read at');
    outside.add(1);
    expect(thrownBy(() => f(tf.scalar(1)))).toContain('was read at');
  });

  it('reads constants that the traced function itself makes', () => {
    using f = compile((x: tf.Tensor) => x.add(tf.tensor1d([1, 2]).dataSync()[1] as number));
    expect(f(tf.scalar(1)).dataSync()[0]).toBe(3);
  });

  it('names op and line where a shape depends on values', () => {
    const f = compile((x: tf.Tensor1D) => tf.unique(x).values, { name: 'distinct' });
    const message = thrownBy(() => f(tf.tensor1d([1, 1])));
    expect(message).toMatch(
      /UniqueV2\(float32\[2\].*in the traced function distinct, called at .*compile\.test\.ts/,
    );
    expect(message).toContain('static shapes');
  });

  it('names op and line where a tensor of another trace is used', () => {
    let leaked: tf.Tensor | undefined;
    using leak = compile((x: tf.Tensor) => (leaked = tf.keep(x.mul(2))), { name: 'leak' });
    leak(tf.scalar(1));
    const message = thrownBy(() => leaked?.add(1));
    expect(message).toMatch(
      /float32\[\] that Mul.* made while leak was being traced was used outside of that trace/,
    );
    expect(message).toMatch(/compile\.test\.ts:\d+/);
    leaked?.dispose();
  });

  it('names op, shapes and dtypes where TensorFlow refuses an op', () => {
    const [a, b] = [tf.zeros([2, 3]), tf.zeros([2, 3])];
    expect(thrownBy(() => tf.engine().runKernel('BatchMatMul', { a, b }, {}))).toMatch(
      /BackendError: BatchMatMulV2\(float32\[2, 3\], float32\[2, 3\]\): /,
    );
  });

  it('says so where a tensor that it has captured was disposed', () => {
    const outside = tf.scalar(1);
    const f = compile((x: tf.Tensor) => x.add(outside));
    f(tf.scalar(1));
    outside.dispose();
    expect(thrownBy(() => f(tf.scalar(1)))).toContain('after it was disposed');
    f.dispose();
  });

  it('refuses debug mode', () => {
    tf.env().set('DEBUG', true);
    const message = thrownBy(() => compile((x: tf.Tensor) => x.add(1))(tf.scalar(1)));
    tf.env().set('DEBUG', false);
    expect(message).toContain('debug mode');
  });

  it('leaves no open trace behind where the function throws', () => {
    const f = compile(() => {
      throw new Error('of the function itself');
    });
    expect(thrownBy(f)).toContain('of the function itself');
    expect(currentTensorFlow()?.binding.trace).toBeUndefined();
    expect(tf.scalar(1).add(1).dataSync()[0]).toBe(2);
  });

  it('takes up nothing more for a function that was compiled before', ({ skip }) => {
    skip(isOnGpu(), 'XLA makes no code of the processor for a GPU');
    const areas = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
    const run = (by: number): void => {
      using f = compile((x: tf.Tensor) => tf.softmax(x.mul(by)).sum(1), { xla: true, name: 'again' });
      f(tf.ones([3, 5])).dispose();
    };
    run(1);
    const before = areas();
    for (let i = 0; i < 20; i++) run(1);
    expect(areas() - before).toBeLessThan(10);
    // What does take up something: other constants, other functions.
    for (let i = 0; i < 20; i++) run(2 + i);
    expect(areas() - before).toBeGreaterThan(100);
  });

  it.each([{ xla: false }, { xla: true }])(
    'leaves a function to those that made the same one: %o',
    (options) => {
      const twin = () => compile((x: tf.Tensor) => x.mul(3).add(1), { ...options, name: 'twin' });
      const x = tf.tensor1d([1, 2]);
      using stays = twin();
      expect([...stays(x).dataSync()]).toEqual([4, 7]);
      const goes = twin();
      expect([...goes(x).dataSync()]).toEqual([4, 7]);
      goes.dispose();
      expect([...stays(x).dataSync()]).toEqual([4, 7]);
    },
  );

  it('tells constants apart by their last bit, and -0 from 0', () => {
    const reciprocal = (value: number): number => {
      using f = compile((x: tf.Tensor) => x.div(tf.scalar(value)), { name: 'reciprocal' });
      return f(tf.scalar(1)).dataSync()[0] as number;
    };
    expect(reciprocal(0)).toBe(Infinity);
    expect(reciprocal(-0)).toBe(-Infinity);
    expect(reciprocal(1)).toBe(1);
    expect(reciprocal(1 + 2 ** -23)).not.toBe(1);
  });

  it('says which op XLA cannot compile', () => {
    const f = compile(
      (x: tf.Tensor) => tf.image.cropAndResize(x as tf.Tensor4D, [[0, 0, 1, 1]], [0], [2, 2]),
      {
        xla: true,
        name: 'crop',
      },
    );
    const message = thrownBy(() => f(tf.zeros([1, 4, 4, 1])));
    expect(message).toMatch(/^BackendError: crop_\w+\(float32\[1, 4, 4, 1\]\)/);
    expect(message).toContain('CropAndResize');
  });
});

// tfjs itself leaves a tensor behind where a gradient throws, so this one is not counted.
it('refuses a gradient through a compiled function', async () => {
  registerTensorFlowBackend();
  await tf.setBackend('tensorflow');
  using f = compile((x: tf.Tensor) => x.square(), { name: 'square' });
  expect(thrownBy(() => tf.grad((z: tf.Tensor) => f(z))(tf.scalar(1)))).toContain(
    'No gradient flows through the compiled function square',
  );
});
