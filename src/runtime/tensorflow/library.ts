import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import koffi, { type LibraryHandle } from 'koffi';
import { BackendError } from '../../common/errors.ts';

/** An address in the process: a C pointer. User space ends below 2^47, so a double holds it exactly. */
export type Pointer = number;
/** `TF_Output`: the output `index` of the graph node `oper`. */
export interface Output {
  oper: Pointer;
  index: number;
}

/* What a C parameter is called here, and what JavaScript passes for it. */
interface CTypes {
  void: undefined;
  pointer: Pointer;
  int: number;
  /** `int64_t` or `size_t` */
  long: number;
  float: number;
  /** `unsigned char`, 0 or 1 */
  bool: number;
  string: string;
  /** memory that the callee reads or fills during the call */
  memory: ArrayBufferView | null;
  output: Output;
  outputs: Output[];
}
type CType = keyof CTypes;

/* The part of TensorFlow's C API (tensorflow/c/c_api.h, c/eager/c_api.h, c/tf_tensor.h, c/tf_tstring.h) in use. */
const PROTOTYPES = {
  TF_Version: ['string'],
  TF_NewStatus: ['pointer'],
  TF_GetCode: ['int', 'pointer'],
  TF_Message: ['string', 'pointer'],

  TFE_NewContextOptions: ['pointer'],
  TFE_ContextOptionsSetConfig: ['void', 'pointer', 'memory', 'long', 'pointer'],
  TFE_DeleteContextOptions: ['void', 'pointer'],
  TFE_NewContext: ['pointer', 'pointer', 'pointer'],
  TFE_ContextListDevices: ['pointer', 'pointer', 'pointer'],
  TFE_ContextAddFunction: ['void', 'pointer', 'pointer', 'pointer'],
  TFE_ContextRemoveFunction: ['void', 'pointer', 'string', 'pointer'],
  TF_DeviceListCount: ['int', 'pointer'],
  TF_DeviceListName: ['string', 'pointer', 'int', 'pointer'],
  TF_DeviceListType: ['string', 'pointer', 'int', 'pointer'],
  TF_DeviceListMemoryBytes: ['long', 'pointer', 'int', 'pointer'],
  TF_DeleteDeviceList: ['void', 'pointer'],

  TF_AllocateTensor: ['pointer', 'int', 'memory', 'int', 'long'],
  TF_TensorData: ['pointer', 'pointer'],
  TF_TensorByteSize: ['long', 'pointer'],
  TF_DeleteTensor: ['void', 'pointer'],
  TF_StringInit: ['void', 'pointer'],
  TF_StringCopy: ['void', 'pointer', 'memory', 'long'],
  TF_StringGetSize: ['long', 'pointer'],
  TF_StringGetDataPointer: ['pointer', 'pointer'],
  TF_StringDealloc: ['void', 'pointer'],

  TFE_NewTensorHandle: ['pointer', 'pointer', 'pointer'],
  TFE_TensorHandleResolve: ['pointer', 'pointer', 'pointer'],
  TFE_TensorHandleCopyToDevice: ['pointer', 'pointer', 'pointer', 'string', 'pointer'],
  TFE_TensorHandleDataType: ['int', 'pointer'],
  TFE_TensorHandleNumDims: ['int', 'pointer', 'pointer'],
  TFE_TensorHandleDim: ['long', 'pointer', 'int', 'pointer'],
  TFE_DeleteTensorHandle: ['void', 'pointer'],

  TFE_NewOp: ['pointer', 'pointer', 'string', 'pointer'],
  TFE_OpAddInput: ['void', 'pointer', 'pointer', 'pointer'],
  TFE_Execute: ['void', 'pointer', 'memory', 'memory', 'pointer'],
  TFE_DeleteOp: ['void', 'pointer'],
  TFE_OpSetAttrString: ['void', 'pointer', 'string', 'string', 'long'],
  TFE_OpSetAttrInt: ['void', 'pointer', 'string', 'long'],
  TFE_OpSetAttrFloat: ['void', 'pointer', 'string', 'float'],
  TFE_OpSetAttrBool: ['void', 'pointer', 'string', 'bool'],
  TFE_OpSetAttrType: ['void', 'pointer', 'string', 'int'],
  TFE_OpSetAttrShape: ['void', 'pointer', 'string', 'memory', 'int', 'pointer'],
  TFE_OpSetAttrFunctionName: ['void', 'pointer', 'string', 'string', 'long'],
  TFE_OpSetAttrStringList: ['void', 'pointer', 'string', 'memory', 'memory', 'int'],
  TFE_OpSetAttrIntList: ['void', 'pointer', 'string', 'memory', 'int'],
  TFE_OpSetAttrFloatList: ['void', 'pointer', 'string', 'memory', 'int'],
  TFE_OpSetAttrBoolList: ['void', 'pointer', 'string', 'memory', 'int'],
  TFE_OpSetAttrTypeList: ['void', 'pointer', 'string', 'memory', 'int'],
  TFE_OpSetAttrShapeList: ['void', 'pointer', 'string', 'memory', 'memory', 'int', 'pointer'],

  TF_NewGraph: ['pointer'],
  TF_DeleteGraph: ['void', 'pointer'],
  TF_GraphGetOpDef: ['void', 'pointer', 'string', 'pointer', 'pointer'],
  TF_GraphCopyFunction: ['void', 'pointer', 'pointer', 'pointer', 'pointer'],
  TF_GraphSetTensorShape: ['void', 'pointer', 'output', 'memory', 'int', 'pointer'],
  TF_GraphGetTensorNumDims: ['int', 'pointer', 'output', 'pointer'],
  TF_GraphGetTensorShape: ['void', 'pointer', 'output', 'memory', 'int', 'pointer'],
  TF_GraphToFunctionWithControlOutputs: [
    'pointer',
    'pointer',
    'string',
    'bool',
    'int',
    'memory',
    'int',
    'outputs',
    'int',
    'outputs',
    'memory',
    'int',
    'memory',
    'memory',
    'pointer',
    'memory',
    'pointer',
  ],
  TF_DeleteFunction: ['void', 'pointer'],
  TF_NewBuffer: ['pointer'],
  TF_DeleteBuffer: ['void', 'pointer'],

  TF_NewOperation: ['pointer', 'pointer', 'string', 'string'],
  TF_AddInput: ['void', 'pointer', 'output'],
  TF_AddInputList: ['void', 'pointer', 'outputs', 'int'],
  TF_AddControlInput: ['void', 'pointer', 'pointer'],
  TF_FinishOperation: ['pointer', 'pointer', 'pointer'],
  TF_OperationOutputType: ['int', 'output'],
  TF_OperationNumOutputs: ['int', 'pointer'],
  TF_SetAttrString: ['void', 'pointer', 'string', 'string', 'long'],
  TF_SetAttrInt: ['void', 'pointer', 'string', 'long'],
  TF_SetAttrFloat: ['void', 'pointer', 'string', 'float'],
  TF_SetAttrBool: ['void', 'pointer', 'string', 'bool'],
  TF_SetAttrType: ['void', 'pointer', 'string', 'int'],
  TF_SetAttrShape: ['void', 'pointer', 'string', 'memory', 'int'],
  TF_SetAttrTensor: ['void', 'pointer', 'string', 'pointer', 'pointer'],
  TF_SetAttrFuncName: ['void', 'pointer', 'string', 'string', 'long'],
  TF_SetAttrStringList: ['void', 'pointer', 'string', 'memory', 'memory', 'int'],
  TF_SetAttrIntList: ['void', 'pointer', 'string', 'memory', 'int'],
  TF_SetAttrFloatList: ['void', 'pointer', 'string', 'memory', 'int'],
  TF_SetAttrBoolList: ['void', 'pointer', 'string', 'memory', 'int'],
  TF_SetAttrTypeList: ['void', 'pointer', 'string', 'memory', 'int'],
  TF_SetAttrShapeList: ['void', 'pointer', 'string', 'memory', 'memory', 'int'],

  // Not of the C API, hence the C++ name (tsl/platform/tensor_float_32_utils.h): enable_tensor_float_32_execution.
  _ZN3tsl32enable_tensor_float_32_executionEb: ['void', 'bool'],
} as const satisfies Record<string, readonly [CType, ...CType[]]>;

type Prototypes = typeof PROTOTYPES;
type Parameters<P extends readonly CType[]> = P extends readonly [
  CType,
  ...infer Rest extends readonly CType[],
]
  ? { [K in keyof Rest]: CTypes[Rest[K]] }
  : never;

/** TensorFlow's C functions, by their C names. */
export type CApi = {
  readonly [Name in keyof Prototypes]: (...args: Parameters<Prototypes[Name]>) => CTypes[Prototypes[Name][0]];
};

/** The TensorFlow that this version of finer1 is written and tested for. */
export const TENSORFLOW_VERSION = '2.21.0';

/** The two libraries of the wheel that hold the C API, in the order in which they are loaded. */
export const LIBRARY_FILES = ['libtensorflow_framework.so.2', 'libtensorflow_cc.so.2'] as const;

// Bits of dlopen's flags in glibc (dlfcn.h).
const RTLD_NOW = 0x2;
const RTLD_GLOBAL = 0x100;
const RTLD_NODELETE = 0x1000;

/** The C library, which is part of the process. */
export const LIBC = koffi.load(null);

const TF_OUTPUT = koffi.struct({ oper: 'uintptr_t', index: 'int' });

const KOFFI_TYPES = {
  void: 'void',
  pointer: 'uintptr_t',
  int: 'int',
  long: 'int64_t',
  float: 'float',
  bool: 'uint8_t',
  string: 'str',
  memory: 'void*',
  output: TF_OUTPUT,
  outputs: koffi.pointer(TF_OUTPUT),
} satisfies Record<CType, unknown>;
type KoffiType = (typeof KOFFI_TYPES)[CType];

/**
 * Opens TensorFlow's libraries.
 *
 * They are first opened by the C library's own `dlopen` with RTLD_NODELETE: koffi unloads a library when the
 * process (or a worker thread) ends, and TensorFlow's static destructors then crash it.
 *
 * @param folder the folder that holds `LIBRARY_FILES`
 * @throws BackendError if a library cannot be opened, or lacks a function
 */
export function loadLibrary(folder: string): CApi {
  const dlopen = LIBC.func('dlopen', 'uintptr_t', ['str', 'int']);
  const dlerror = LIBC.func('dlerror', 'str', []);
  const libraries = LIBRARY_FILES.map((file) => {
    const path = join(folder, file);
    if (withoutGreeting(() => dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE) as Pointer) === 0) {
      throw new BackendError(
        `TensorFlow's library ${path} cannot be opened: ${String(dlerror())}. ` +
          'Run `finer1 setup --force` to install it anew, or set FINER1_TENSORFLOW to a working copy.',
      );
    }
    return koffi.load(path);
  });
  checkVersion(folder, libraries);
  const functions = Object.entries(PROTOTYPES).map(([name, [result, ...parameters]]) => {
    const types = parameters.map((type) => KOFFI_TYPES[type]);
    const found = findFunction(libraries, name, KOFFI_TYPES[result], types);
    if (found !== undefined) return [name, found] as const;
    throw new BackendError(
      `TensorFlow in ${folder} lacks the C function ${name}, so it is not a version that finer1 can use. ` +
        'Unset FINER1_TENSORFLOW and run `finer1 setup`.',
    );
  });
  return Object.fromEntries(functions) as unknown as CApi;
}

/**
 * Runs `load` without the two lines that TensorFlow's static initialisers print on stderr before any log level
 * holds. What else is printed meanwhile is passed on.
 */
function withoutGreeting<T>(load: () => T): T {
  // Threads share stderr, and two that swap it at once could lose it.
  if (!isMainThread) return load();
  const dup = LIBC.func('dup', 'int', ['int']);
  const dup2 = LIBC.func('dup2', 'int', ['int', 'int']);
  const close = LIBC.func('close', 'int', ['int']);
  const path = join(tmpdir(), `finer1-stderr-${process.pid}-${randomUUID()}`);
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  const stderr = dup(2) as number;
  try {
    dup2(file, 2);
    return load();
  } finally {
    dup2(stderr, 2);
    close(stderr);
    const printed = Buffer.alloc(2 ** 16);
    const length = readSync(file, printed, 0, printed.length, 0);
    closeSync(file);
    process.stderr.write(printed.toString('utf8', 0, length).replace(GREETING, ''));
  }
}
const GREETING = /^(WARNING: All log messages before absl::InitializeLog|I\d{4} ).*\n/gm;

/* A C function from whichever of the libraries has it. */
function findFunction(
  libraries: readonly LibraryHandle[],
  name: string,
  result: KoffiType,
  parameters: KoffiType[],
): ReturnType<LibraryHandle['func']> | undefined {
  for (const library of libraries) {
    try {
      return library.func(name, result, parameters);
    } catch {
      // It is in the other library.
    }
  }
  return undefined;
}

function checkVersion(folder: string, libraries: readonly LibraryHandle[]): void {
  const version = findFunction(libraries, 'TF_Version', 'str', [])?.() as string | undefined;
  if (version === undefined || version === TENSORFLOW_VERSION) return;
  throw new BackendError(
    `TensorFlow in ${folder} is ${version}; finer1 needs ${TENSORFLOW_VERSION}. Install that version ` +
      'there, or unset FINER1_TENSORFLOW and run `finer1 setup`.',
  );
}

/** Sets a variable of the process's own environment, which TensorFlow reads (a worker's `process.env` is a copy). */
export function setProcessVariable(name: string, value: string): void {
  LIBC.func('setenv', 'int', ['str', 'str', 'int'])(name, value, 1);
  process.env[name] = value;
}

/**
 * The bytes from `address` on, without a copy: valid only as long as their owner keeps them. Each view costs some
 * memory that is not given back (koffi 3.3), so this is for large pieces; `copyIn` and `copyOut` are for all others.
 */
export function viewMemory(address: Pointer, byteLength: number): Uint8Array {
  return byteLength === 0 ? new Uint8Array(0) : new Uint8Array(koffi.view(address, byteLength));
}

const memcpyIn = LIBC.func('memcpy', 'void', ['uintptr_t', 'void*', 'size_t']);
const memcpyOut = LIBC.func('memcpy', 'void', ['void*', 'uintptr_t', 'size_t']);

/** Copies an array's bytes to `address`. */
export function copyIn(address: Pointer, array: ArrayBufferView): void {
  if (array.byteLength > 0) memcpyIn(address, array, array.byteLength);
}

/** Copies the bytes from `address` on into an array of their own. */
export function copyOut(address: Pointer, byteLength: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength);
  if (byteLength > 0) memcpyOut(bytes, address, byteLength);
  return bytes;
}

/** Reads `count` addresses that a C function wrote into `memory`. */
export function readPointers(memory: BigUint64Array, count: number): Pointer[] {
  return Array.from(memory.subarray(0, count), Number);
}

/** The address of each array, for a C parameter that is an array of pointers. The arrays must outlive the call. */
export function pointersTo(arrays: readonly ArrayBufferView[]): BigUint64Array {
  return BigUint64Array.from(arrays, (array) => (array.byteLength === 0 ? 0n : koffi.address(array)));
}
