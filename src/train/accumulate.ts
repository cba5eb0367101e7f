import * as tf from '@tensorflow/tfjs';
import { compile } from '../runtime/compile.ts';
import type { Gradients } from './vjp.ts';

/** Adds up the gradients of the batches of a step. */
export interface Accumulator extends Disposable {
  /** Takes gradients over, and returns their sum with what there was; both are freed. */
  add(total: Gradients | undefined, more: Gradients): Gradients;
}

/** @param fused one function adds all (a small model); else one parameter at a time, so that little is in memory twice */
export function createAccumulator(fused: boolean): Accumulator {
  const sum = compile(
    (a: readonly tf.Tensor[], b: readonly tf.Tensor[]) => a.map((x, i) => x.add(b[i] as tf.Tensor)),
    { name: 'accumulate' },
  );
  const addSome = (total: Gradients, more: Gradients, names: readonly string[]): void => {
    const [a, b] = [total, more].map((all) => names.map((name) => all.get(name) as tf.Tensor));
    sum(a as tf.Tensor[], b as tf.Tensor[]).forEach((added, i) => total.set(names[i] as string, added));
    tf.dispose([a, b] as tf.TensorContainer);
  };
  return {
    add: (total, more) => {
      if (total === undefined) return more;
      const names = [...total.keys()];
      for (const group of fused ? [names] : names.map((name) => [name])) addSome(total, more, group);
      return total;
    },
    [Symbol.dispose]: () => {
      sum.dispose();
    },
  };
}
