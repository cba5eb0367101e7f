import * as tf from '@tensorflow/tfjs';
import type { RuntimeOptions } from '../../config/runtime.ts';
import { repairGradients } from '../gradients.ts';
import { TensorFlowBackend } from './backend.ts';
import { Binding } from './binding.ts';
import { startTensorFlow } from './context.ts';
import { replaceKernels } from './kernels.ts';
import { BACKEND_NAME } from './tfjsNode.ts';

// Above wasm (2) and cpu (1).
const PRIORITY = 3;

/**
 * Starts TensorFlow and makes tfjs's backend `tensorflow` available in this process, as a factory, so that
 * `tf.setBackend('tensorflow')` works again after `tf.engine().reset()`.
 *
 * @param options threads and GPU memory, fixed from here on
 * @throws BackendError if TensorFlow is not installed, cannot be loaded, or runs already with other options
 */
export function registerTensorFlowBackend(options: RuntimeOptions = {}): void {
  // Not left to the factory, whose errors tfjs only prints.
  const tensorflow = startTensorFlow(options);
  replaceKernels();
  repairGradients();
  if (BACKEND_NAME in tf.engine().registryFactory) return;
  tf.registerBackend(
    BACKEND_NAME,
    () => new TensorFlowBackend(new Binding(tensorflow), '@tensorflow/tfjs-node-gpu'),
    PRIORITY,
  );
}
