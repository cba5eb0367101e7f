import { BackendError } from '../../common/errors.ts';
import { type RuntimeConfig, type RuntimeOptions, parseRuntimeConfig } from '../../config/runtime.ts';
import { type CApi, loadLibrary, type Pointer } from './library.ts';
import { locateTensorFlow } from './locate.ts';
import { encodeConfig, prepareEnvironment } from './options.ts';
import { releaseLibraryPages } from './pages.ts';

/** A device that TensorFlow can compute on. */
export interface Device {
  /** TensorFlow's full name, e.g. `/job:localhost/replica:0/task:0/device:GPU:0` */
  name: string;
  type: string;
  memoryBytes: number;
}

/** TensorFlow as it runs in this thread: its C API, one eager context, one status object that all calls share. */
export interface TensorFlow {
  c: CApi;
  version: string;
  folder: string;
  context: Pointer;
  status: Pointer;
  devices: Device[];
  /** Full name of GPU:0 where there is one. */
  gpu: string | undefined;
  config: RuntimeConfig;
}

let running: TensorFlow | undefined;

/** TensorFlow as it runs in this thread, or undefined if nothing has started it. */
export const runningTensorFlow = (): TensorFlow | undefined => running;

/**
 * Starts TensorFlow in this thread, once: its threads and memory are fixed then, and live as long as the thread.
 *
 * @throws BackendError if it is not installed, cannot be loaded, or runs already with other options
 */
export function startTensorFlow(options: RuntimeOptions = {}): TensorFlow {
  const config = parseRuntimeConfig(options);
  if (running !== undefined) {
    assertSameConfig(running.config, config);
    return running;
  }
  const { folder } = locateTensorFlow();
  prepareEnvironment();
  const c = loadLibrary(folder);
  // Else a GPU rounds the factors of float32 products to 10 bits; who wants that asks for bfloat16.
  c._ZN3tsl32enable_tensor_float_32_executionEb(0);
  const status = c.TF_NewStatus();
  const contextOptions = c.TFE_NewContextOptions();
  const proto = encodeConfig(config);
  c.TFE_ContextOptionsSetConfig(contextOptions, proto, proto.length, status);
  const context = c.TFE_NewContext(contextOptions, status);
  c.TFE_DeleteContextOptions(contextOptions);
  if (c.TF_GetCode(status) !== 0) {
    throw new BackendError(
      `TensorFlow in ${folder} does not start: ${c.TF_Message(status)}. Run \`finer1 doctor\` to see what is wrong.`,
    );
  }
  const devices = listDevices(c, context, status);
  const gpu = devices.find((device) => device.type === 'GPU')?.name;
  running = { c, version: c.TF_Version(), folder, context, status, devices, gpu, config };
  releaseLibraryPages();
  return running;
}

/**
 * Turns TensorFlow's status into an error, if the last call failed.
 * @param what the call as a message names it: op, shapes and dtypes of its inputs
 */
export function check(tensorflow: TensorFlow, what: () => string): void {
  if (tensorflow.c.TF_GetCode(tensorflow.status) === 0) return;
  throw new BackendError(`${what()}: ${tensorflow.c.TF_Message(tensorflow.status)}`);
}

function assertSameConfig(before: RuntimeConfig, now: RuntimeConfig): void {
  for (const key of ['threads', 'gpuMemoryGrowth', 'gpuMemoryLimitMiB'] as const) {
    if (before[key] !== now[key]) {
      throw new BackendError(
        `TensorFlow runs in this process with ${key} = ${before[key] ?? 'none'}, which cannot be changed to ` +
          `${now[key] ?? 'none'} any more. Give the same options wherever the backend is registered.`,
      );
    }
  }
}

function listDevices(c: CApi, context: Pointer, status: Pointer): Device[] {
  const list = c.TFE_ContextListDevices(context, status);
  const devices = Array.from({ length: c.TF_DeviceListCount(list) }, (_, i) => ({
    name: c.TF_DeviceListName(list, i, status),
    type: c.TF_DeviceListType(list, i, status),
    memoryBytes: c.TF_DeviceListMemoryBytes(list, i, status),
  }));
  c.TF_DeleteDeviceList(list);
  return devices;
}
