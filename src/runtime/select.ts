import * as tf from '@tensorflow/tfjs';
import { BackendError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { readCpu } from '../common/machine.ts';
import { type RuntimeOptions, parseRuntimeConfig } from '../config/runtime.ts';
import { registerTensorFlowBackend } from './tensorflow/register.ts';
import { runningTensorFlow, type TensorFlow } from './tensorflow/context.ts';
import { BACKEND_NAME } from './tensorflow/tfjsNode.ts';

/** The backend that tfjs computes on. */
export interface SelectedBackend {
  backend: 'tensorflow' | 'wasm';
  /** `GPU:0` or `CPU` */
  device: string;
  /** the reason of the choice, for people */
  why: string;
}

/**
 * Makes tfjs compute on the backend that the config asks for; `auto` is TensorFlow on a GPU, else TensorFlow on the
 * CPU, else wasm, which is warned about.
 *
 * @throws BackendError if the backend that is asked for cannot run here
 */
export async function selectBackend(options: RuntimeOptions = {}): Promise<SelectedBackend> {
  const config = parseRuntimeConfig(options);
  if (config.backend === 'wasm') return await useWasm('the config asks for it');
  try {
    return await useTensorFlow(config);
  } catch (error) {
    if (config.backend === 'tensorflow' || !(error instanceof BackendError)) throw error;
    log.warn(`Computing on wasm, which is slow, as TensorFlow cannot run. ${error.message}`);
    return await useWasm('TensorFlow cannot run');
  }
}

async function useTensorFlow(options: RuntimeOptions): Promise<SelectedBackend> {
  assertProcessor();
  registerTensorFlowBackend(options);
  await tf.setBackend(BACKEND_NAME);
  const { version, gpu } = runningTensorFlow() as TensorFlow;
  return {
    backend: 'tensorflow',
    device: gpu === undefined ? 'CPU' : 'GPU:0',
    why: `TensorFlow ${version} runs${gpu === undefined ? ' (it sees no GPU)' : ' and sees a GPU'}`,
  };
}

/* TensorFlow's libraries would end the process with an illegal instruction. */
function assertProcessor(): void {
  const { model, instructions } = readCpu();
  if (process.arch !== 'x64' || instructions === undefined || instructions.includes('avx')) return;
  throw new BackendError(
    `TensorFlow needs a processor with AVX; this one (${model}) has none. In a virtual machine, pass the ` +
      "host's processor through (e.g. `-cpu host` of QEMU).",
  );
}

async function useWasm(why: string): Promise<SelectedBackend> {
  try {
    const { registerWasmKernels } = await import('./wasmKernels.ts');
    registerWasmKernels();
    if (!(await tf.setBackend('wasm'))) throw new Error('tfjs could not initialise it');
  } catch (error) {
    throw new BackendError(
      `The backend wasm does not start: ${messageOf(error)}. Install finer1 anew: its package tfjs-backend-wasm is damaged.`,
    );
  }
  return { backend: 'wasm', device: 'CPU', why };
}
