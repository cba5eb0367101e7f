import type * as tf from '@tensorflow/tfjs';
import { compile } from '../runtime/compile.ts';
import type { Gradients } from './vjp.ts';

/** Adds up the gradients of the batches of a step. */
export interface Accumulator extends Disposable {
  /**
   * Takes gradients over, and returns their sum with what there was; both are freed.
   * @param more of the same parameters as `total`
   */
  add(total: Gradients | undefined, more: Gradients): Gradients;
}

/**
 * Makes what adds up gradients.
 * @param fused one function adds all (a small model); else one op a parameter, so that little is in memory twice
 */
export function createAccumulator(fused: boolean): Accumulator {
  const sum = compile(
    (a: readonly tf.Tensor[], b: readonly tf.Tensor[]) => a.map((x, i) => x.add(b[i] as tf.Tensor)),
    { name: 'accumulate' },
  );
  const addAll = (total: Gradients, more: Gradients): void => {
    const names = [...total.keys()];
    const [a, b] = [total, more].map((all) => names.map((name) => all.get(name) as tf.Tensor));
    sum(a as tf.Tensor[], b as tf.Tensor[]).forEach((added, i) => {
      replace(total, more, names[i] as string, added);
    });
  };
  const addEach = (total: Gradients, more: Gradients): void => {
    for (const [name, gradient] of total)
      replace(total, more, name, gradient.add(more.get(name) as tf.Tensor));
  };
  return {
    add: (total, more) => {
      if (total === undefined) return more;
      (fused ? addAll : addEach)(total, more);
      return total;
    },
    [Symbol.dispose]: () => {
      sum.dispose();
    },
  };
}

function replace(total: Gradients, more: Gradients, name: string, added: tf.Tensor): void {
  total.get(name)?.dispose();
  more.get(name)?.dispose();
  total.set(name, added);
}
