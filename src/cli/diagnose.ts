import { existsSync } from 'node:fs';
import { type Cpu, readCpu, readFreeDisk, readMemory } from '../common/machine.ts';
import { BackendError } from '../common/errors.ts';
import { cacheFolder } from '../common/files.ts';
import { FINER1_VERSION } from '../common/version.ts';
import type { RuntimeConfig } from '../config/runtime.ts';
import { measureBackend, type Speed } from '../runtime/measure.ts';
import { type SelectedBackend, selectBackend } from '../runtime/select.ts';
import { runningTensorFlow } from '../runtime/tensorflow/context.ts';
import { installedFolder, type Location, locateTensorFlow } from '../runtime/tensorflow/locate.ts';

type BackendName = SelectedBackend['backend'];

/** What `finer1 doctor` finds; `finer1 doctor --json` prints it. */
export interface Diagnosis {
  finer1: string;
  node: string;
  /** operating system and processor architecture, as Node calls them */
  platform: string;
  cpu: Cpu;
  memory: { totalBytes: number; availableBytes: number };
  cache: { folder: string; freeBytes: number };
  tensorflow: (Location & { version: string; devices: DeviceFacts[] }) | null;
  /** the backend that was asked for, and what that gives; `selected` is null if it cannot run */
  backend: { asked: RuntimeConfig['backend']; selected: SelectedBackend | null };
  /** of the backends that run */
  speed: Partial<Record<BackendName, Speed>>;
  /** null where there is no TensorFlow to tell */
  xlaWorks: boolean | null;
  /** what is wrong and what to do, each a text */
  problems: string[];
}

interface DeviceFacts {
  /** e.g. `GPU:0` */
  name: string;
  memoryBytes: number;
}

const LITTLE_DISK_BYTES = 2 ** 30;

/** Looks at the machine, tries every backend and measures it. */
export async function diagnose(asked: RuntimeConfig['backend']): Promise<Diagnosis> {
  const problems: string[] = [];
  const memory = readMemory();
  const cache = { folder: cacheFolder(), freeBytes: await readFreeDisk(cacheFolder()) };
  if (cache.freeBytes < LITTLE_DISK_BYTES) {
    problems.push(`The disk of ${cache.folder} is nearly full. Free some space, or set FINER1_CACHE.`);
  }
  const speed: Diagnosis['speed'] = {};
  for (const backend of ['wasm', 'tensorflow'] as const) {
    const found = await attempt(problems, () => tryBackend(backend));
    if (found !== null) speed[backend] = found;
  }
  const selected = await attempt(problems, () => selectBackend({ backend: asked }));
  const tensorflow = describeTensorFlow(memory.totalBytes);
  if (tensorflow !== null) problems.push(...gpuProblems(tensorflow));
  const xlaError = speed.tensorflow?.xlaError;
  if (xlaError !== undefined) problems.push(`XLA does not work: ${xlaError}`);
  return {
    finer1: FINER1_VERSION,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: readCpu(),
    memory,
    cache,
    tensorflow,
    backend: { asked, selected },
    speed,
    xlaWorks: speed.tensorflow === undefined ? null : xlaError === undefined,
    problems: [...new Set(problems)],
  };
}

async function tryBackend(backend: BackendName): Promise<Speed> {
  await selectBackend({ backend });
  return await measureBackend();
}

async function attempt<T>(problems: string[], action: () => Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    problems.push(error.message);
    return null;
  }
}

function describeTensorFlow(hostBytes: number): Diagnosis['tensorflow'] {
  const running = runningTensorFlow();
  if (running === undefined) return null;
  const devices = running.devices.map(({ name, type, memoryBytes }) => ({
    name: name.replace(/^.*device:/, ''),
    // What TensorFlow says of the CPU is a constant.
    memoryBytes: type === 'CPU' ? hostBytes : memoryBytes,
  }));
  return { ...locateTensorFlow(), version: running.version, devices };
}

function gpuProblems({ folder, devices }: { folder: string; devices: DeviceFacts[] }): string[] {
  const hasDriver = existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidia0');
  if (!hasDriver || devices.some(({ name }) => name.startsWith('GPU'))) return [];
  const unused = 'This machine has a GPU of NVIDIA, but TensorFlow does not use it.';
  if (folder === installedFolder('cpu')) {
    return [`${unused} The installed TensorFlow is without CUDA: run \`finer1 setup --gpu\`.`];
  }
  const visible = process.env.CUDA_VISIBLE_DEVICES;
  if (visible !== undefined) {
    return [`${unused} CUDA_VISIBLE_DEVICES is '${visible}': unset it, or name the GPU's number.`];
  }
  return [
    `${unused} Check that \`nvidia-smi\` shows it and a driver for CUDA 12 (525 or later); ` +
      '`TF_CPP_MIN_LOG_LEVEL=0 finer1 doctor` prints what TensorFlow misses.',
  ];
}
