import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeAll, beforeEach, describe, expect } from 'vitest';
import { selectBackend } from '../../src/runtime/index.ts';
import { currentTensorFlow } from '../../src/runtime/tensorflow/backend.ts';

/** Tensors that are alive: those of tfjs, and those that TensorFlow holds for the binding. */
export function countTensors(): { tensors: number; handles: number } {
  return {
    tensors: tf.memory().numTensors,
    handles: currentTensorFlow()?.binding.getNumOfTensors() ?? 0,
  };
}

export { isOnGpu } from '../../src/runtime/tensorflow/backend.ts';

/** Sets the backend for the tests of a file or group, and asserts that none of them leaves a tensor behind. */
export function useBackend(name: 'tensorflow' | 'wasm'): void {
  let before: ReturnType<typeof countTensors>;
  beforeAll(async () => {
    await selectBackend({ backend: name });
  });
  beforeEach(() => {
    before = countTensors();
    tf.engine().startScope();
  });
  afterEach(() => {
    tf.engine().endScope();
    expect(countTensors(), 'tensors left behind').toEqual(before);
  });
}

/** Runs the same tests on TensorFlow and on wasm. */
export function onEveryBackend(body: (backend: 'tensorflow' | 'wasm') => void): void {
  describe.each(['tensorflow', 'wasm'] as const)('on %s', (backend) => {
    useBackend(backend);
    body(backend);
  });
}
