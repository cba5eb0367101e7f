import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../../common/files.ts';
import { readCpu, readInstructionSets } from '../../common/machine.ts';
import type { RuntimeConfig } from '../../config/runtime.ts';
import { setProcessVariable, TENSORFLOW_VERSION } from './library.ts';
import { encodeMessage, type Field } from './protobuf.ts';

/**
 * Sets what TensorFlow and XLA read from the environment when they are loaded. What the user has set wins.
 */
export function prepareEnvironment(): void {
  // 3: nothing short of a crash. What fails is thrown as an error; what is printed else are greetings, and pages
  // about the CPU features of every function that comes from XLA's cache.
  if (process.env.TF_CPP_MIN_LOG_LEVEL === undefined) setProcessVariable('TF_CPP_MIN_LOG_LEVEL', '3');
  // By itself TensorFlow takes oneDNN's products on processors with AVX-512 only; with AVX2 they are three times as fast.
  if (process.env.TF_ENABLE_ONEDNN_OPTS === undefined) setProcessVariable('TF_ENABLE_ONEDNN_OPTS', '1');
  // XLA's Min and Max drop NaN on the CPU unless told not to.
  addFlag('XLA_FLAGS', '--xla_cpu_enable_fast_min_max', 'false');
  useXlaCache(xlaCacheFolder());
}

function addFlag(variable: string, flag: string, value: string): void {
  const flags = process.env[variable] ?? '';
  if (!flags.includes(flag)) setProcessVariable(variable, `${flags} ${flag}=${value}`.trim());
}

// What XLA makes of a large model is some MiB.
const CACHE_SPACE_BYTES = 2 ** 30;

/*
 * Has XLA keep what it compiles. A cache that it cannot write to would be an error of every function, not a cache
 * missed, so it is only read then.
 */
function useXlaCache(folder: string): void {
  let isWritable: boolean;
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    const { bavail, bsize } = statfsSync(folder);
    isWritable = bavail * bsize >= CACHE_SPACE_BYTES;
  } catch {
    isWritable = false;
  }
  if (!existsSync(folder)) return;
  addFlag('TF_XLA_FLAGS', '--tf_xla_persistent_cache_directory', folder);
  if (!isWritable) addFlag('TF_XLA_FLAGS', '--tf_xla_persistent_cache_read_only', 'true');
}

/** Where XLA keeps what it compiles: machine code, so a cache folder that several machines share keeps them apart. */
export function xlaCacheFolder(): string {
  const machine = [TENSORFLOW_VERSION, readCpu().model, ...(readInstructionSets() ?? [])].join();
  return join(cacheFolder(), 'xla', createHash('sha256').update(machine).digest('hex').slice(0, 16));
}

/** The `ConfigProto` (tensorflow/core/protobuf/config.proto) that says the same as `config`. */
export function encodeConfig(config: RuntimeConfig): Uint8Array {
  const gpu: Field[] = [[4, config.gpuMemoryGrowth && config.gpuMemoryLimitMiB === undefined]]; // allow_growth
  if (config.gpuMemoryLimitMiB !== undefined) {
    const limit = Buffer.alloc(4);
    limit.writeFloatLE(config.gpuMemoryLimitMiB);
    const virtualDevices = encodeMessage([[1, limit]]); // memory_limit_mb, packed
    gpu.push([9, encodeMessage([[1, virtualDevices]])]); // experimental.virtual_devices
  }
  return encodeMessage([
    [2, config.threads], // intra_op_parallelism_threads
    [6, encodeMessage(gpu)], // gpu_options
    [7, true], // allow_soft_placement
  ]);
}
