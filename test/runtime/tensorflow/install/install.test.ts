import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendError } from '../../../../src/common/errors.ts';
import { installTensorFlow } from '../../../../src/runtime/tensorflow/install/install.ts';
import { installedFolder, locateTensorFlow } from '../../../../src/runtime/tensorflow/locate.ts';
import { type Wheel, wheelsFor } from '../../../../src/runtime/tensorflow/install/wheels.ts';
import { runModule } from '../../../support/child.ts';
import {
  fakePipPids,
  isRunning,
  makeFakePip,
  makeWheel,
  type PipBehaviour,
} from '../../../support/fakePip.ts';

vi.hoisted(() => (process.env.FINER1_LOG = 'silent'));

const KEPT = {
  'tensorflow/libtensorflow_cc.so.2': 'cc',
  'tensorflow/libtensorflow_framework.so.2': 'framework',
  'tensorflow/THIRD_PARTY_NOTICES.txt': 'licences',
};
const LEFT_OUT = { 'tensorflow/python/_pywrap.so': 'python', 'tensorflow/include/tensor.h': 'header' };

let folder: string;
let wheels: string;
let cache: string;
let wheel: Wheel;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-install-'));
  wheels = join(folder, 'wheels');
  cache = join(folder, 'cache');
  vi.stubEnv('FINER1_CACHE', cache);
  vi.stubEnv('FINER1_TENSORFLOW', undefined);
  wheel = await makeWheel(wheels, 'fake_tensorflow', { ...KEPT, ...LEFT_OUT });
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, maxRetries: 5 });
});

const usePip = (behaviour: PipBehaviour): void => {
  vi.stubEnv('PATH', makeFakePip(join(folder, behaviour), wheels, behaviour));
};
const install = (options: { force?: boolean; signal?: AbortSignal } = {}) =>
  installTensorFlow('cpu', { wheels: [wheel], ...options });
const root = (): string => join(installedFolder('cpu'), '..');

function expectNothingInstalled(): void {
  expect(readdirSync(cache).filter((name) => name !== 'setup.lock')).toEqual([]);
}

describe('installing', () => {
  it('unpacks the libraries and the licences, and nothing else', async () => {
    usePip('deliver');
    const result = await install();
    expect(result).toEqual({
      folder: installedFolder('cpu'),
      installed: true,
      downloadedBytes: wheel.downloadBytes,
    });
    expect(readdirSync(root()).sort()).toEqual(['manifest.json', 'tensorflow']);
    const names = Object.keys(KEPT).map((path) => path.replace('tensorflow/', ''));
    expect(readdirSync(result.folder).sort()).toEqual(names.sort());
    expect(readFileSync(join(result.folder, 'libtensorflow_cc.so.2'), 'utf8')).toBe('cc');
    expect(locateTensorFlow()).toEqual({ folder: result.folder, source: 'setup' });
  });

  it("lays NVIDIA's libraries out beside, where TensorFlow's run path leads, and keeps what is executable so", async () => {
    usePip('deliver');
    const nvidia = await makeWheel(wheels, 'nvidia_fake', {
      'nvidia/cudnn/lib/libcudnn.so.9': 'cudnn',
      'nvidia/cudnn/lib/libcudnn_static.a': 'static',
      'nvidia/cudnn/include/cudnn.h': 'header',
      'nvidia/cuda_nvcc/bin/ptxas': 'ptxas',
      'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc': 'libdevice',
      'nvidia_fake-1.0.dist-info/licenses/License.txt': 'licence',
    });
    await installTensorFlow('gpu', { wheels: [wheel, nvidia] });
    const files = readdirSync(join(installedFolder('gpu'), '..', 'nvidia'), { recursive: true }).sort();
    expect(files.filter((file) => String(file).includes('.') || String(file).endsWith('ptxas'))).toEqual([
      'cuda_nvcc/bin/ptxas',
      'cuda_nvcc/nvvm/libdevice/libdevice.10.bc',
      'cudnn/lib/libcudnn.so.9',
    ]);
    expect(statSync(join(installedFolder('gpu'), '../nvidia/cuda_nvcc/bin/ptxas')).mode & 0o111).not.toBe(0);
    expect(
      existsSync(join(installedFolder('gpu'), '../nvidia_fake-1.0.dist-info/licenses/License.txt')),
    ).toBe(true);
  });

  it('returns at once when everything is there', async () => {
    usePip('deliver');
    await install();
    vi.stubEnv('PATH', '');
    const start = performance.now();
    expect(await install()).toMatchObject({ installed: false, downloadedBytes: 0 });
    expect(performance.now() - start).toBeLessThan(100);
  });

  it.each(['cut short', 'missing', 'from other wheels'])('installs anew what is %s', async (damage) => {
    usePip('deliver');
    await install();
    const library = join(installedFolder('cpu'), 'libtensorflow_cc.so.2');
    if (damage === 'cut short') truncateSync(library, 1);
    if (damage === 'missing') rmSync(library);
    if (damage === 'from other wheels')
      wheel = await makeWheel(wheels, 'fake_tensorflow', { ...KEPT, 'tensorflow/include/LICENSE': 'new' });
    expect(await install()).toMatchObject({ installed: true });
    expect(readFileSync(library, 'utf8')).toBe('cc');
    expect(await install()).toMatchObject({ installed: false });
  });

  it('replaces what is there when forced, and keeps it when that fails', async () => {
    usePip('deliver');
    await install();
    const before = statSync(installedFolder('cpu')).ino;
    usePip('no network');
    await expect(install({ force: true })).rejects.toThrow(BackendError);
    expect(statSync(installedFolder('cpu')).ino).toBe(before);
    usePip('deliver');
    expect(await install({ force: true })).toMatchObject({ installed: true });
    expect(statSync(installedFolder('cpu')).ino).not.toBe(before);
  });
});

describe('what goes wrong leaves nothing and says what to do', () => {
  it.each([
    ['deliver damaged', /sha256 \w{64}, but \w{64} was expected.*again/s],
    ['deliver nothing', /did not deliver fake_tensorflow.*pip config list/s],
    ['no network', /Connection refused.*cannot be reached\. Check the network/s],
    ['not offered', /from versions: 0\.9.*index in use does not offer it/s],
    ['full disk', /No space left.*FINER1_CACHE/s],
  ] as const)('pip: %s', async (behaviour, message) => {
    usePip(behaviour);
    await expect(install()).rejects.toThrow(message);
    await expect(install()).rejects.toThrow(BackendError);
    expectNothingInstalled();
    usePip('deliver');
    expect(await install()).toMatchObject({ installed: true });
  });

  it('no pip and no uv', async () => {
    vi.stubEnv('PATH', '');
    await expect(install()).rejects.toThrow(/no working pip was found.*Install one.*FINER1_TENSORFLOW/s);
    expectNothingInstalled();
  });

  it('a disk with too little space, before anything is downloaded', async () => {
    usePip('hang');
    wheel = { ...wheel, unpackedBytes: 2 ** 60 };
    await expect(install()).rejects.toThrow(/needs 1073741824\.\d GiB .* has .* left.*FINER1_CACHE/s);
    expectNothingInstalled();
  });

  it('a cache that cannot be written', async () => {
    usePip('deliver');
    writeFileSync(join(folder, 'file'), '');
    vi.stubEnv('FINER1_CACHE', join(folder, 'file', 'cache'));
    await expect(install()).rejects.toThrow(/file\/cache cannot be written.*FINER1_CACHE/s);
  });

  it('a machine that TensorFlow is not made for', () => {
    const platform = vi.spyOn(process, 'platform', 'get').mockReturnValue('win32');
    expect(() => wheelsFor('cpu')).toThrow(/win32.*`wasm` works here/s);
    platform.mockRestore();
  });
});

describe('an interrupted set-up', () => {
  it('stops pip and leaves nothing when it is aborted', async () => {
    usePip('hang');
    const controller = new AbortController();
    const running = install({ signal: controller.signal });
    await vi.waitFor(() => expect(fakePipPids(wheels)).toHaveLength(1), 10_000);
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expectNothingInstalled();
    await expectPipsToEnd();
  });

  it('that was killed at any moment ends right when it is started again', { timeout: 120_000 }, async () => {
    // What cannot be compressed is unpacked for long enough to be killed meanwhile.
    wheel = await makeWheel(wheels, 'fake_tensorflow', {
      ...KEPT,
      'tensorflow/libtensorflow_cc.so.2': randomBytes(200 * 2 ** 20),
    });
    usePip('deliver slowly');
    const interrupted = new Set<string>();
    const moments = ['start', 'downloading', 'unpacking'].flatMap((stage) =>
      [0, 60, 120, 200].map((delayMs) => ({ stage, delayMs })),
    );
    for (const { stage, delayMs } of moments) {
      await runSetup((kill) => {
        void vi
          .waitFor(() => expect(['start', currentStage()]).toContain(stage), { timeout: 20_000, interval: 5 })
          .then(() => sleep(delayMs))
          .then(() => kill('SIGKILL'));
      });
      interrupted.add(currentStage());
      if (existsSync(root())) await expectComplete();
      await expectPipsToEnd();
    }
    expect([...interrupted]).toEqual(expect.arrayContaining(['downloading', 'unpacking']));
    await install();
    await expectComplete();
    expect(readdirSync(cache).sort()).toEqual(['setup.lock', 'tensorflow-2.21.0-cpu']);
  });

  /* Which part of its work a set-up is in, or was killed in. */
  function currentStage(): string {
    const names = existsSync(cache) ? readdirSync(cache) : [];
    const staged = names.find((name) => name.startsWith('.setup-'));
    if (staged === undefined) return 'before or after';
    if (existsSync(join(cache, staged, 'built'))) return 'unpacking';
    return existsSync(join(cache, staged, 'download')) ? 'downloading' : 'looking for pip';
  }

  async function expectComplete(): Promise<void> {
    usePip('no network');
    expect(await install()).toMatchObject({ installed: false });
    usePip('deliver slowly');
  }

  async function expectPipsToEnd(): Promise<void> {
    await vi.waitFor(() => {
      expect(fakePipPids(wheels).filter(isRunning)).toEqual([]);
    }, 2000);
  }
});

describe('two set-ups at the same time', () => {
  it('both end right, and one download is enough', async () => {
    usePip('deliver slowly');
    const results = await Promise.all([runSetup(), runSetup(), install()]);
    expect(results.map((result) => ('code' in result ? result.code : 0))).toEqual([0, 0, 0]);
    expect(fakePipPids(wheels)).toHaveLength(1);
    expect(readdirSync(cache).sort()).toEqual(['setup.lock', 'tensorflow-2.21.0-cpu']);
  });

  it('the second takes over when the first is killed', async () => {
    usePip('hang');
    mkdirSync(cache);
    let second: ReturnType<typeof install> | undefined;
    await runSetup((kill) => {
      void vi
        .waitFor(() => expect(fakePipPids(wheels)).toHaveLength(1), 10_000)
        .then(() => {
          usePip('deliver');
          second = install();
        })
        .then(() => sleep(300))
        .then(() => kill('SIGKILL'));
    });
    expect(await second).toMatchObject({ installed: true });
    expect(readdirSync(cache).sort()).toEqual(['setup.lock', 'tensorflow-2.21.0-cpu']);
  });
});

/* Runs the same set-up in a process of its own; `onStart` may send it a signal. */
function runSetup(onStart: (kill: (signal: NodeJS.Signals) => void) => void = () => undefined) {
  let started = false;
  return runModule(
    `import { installTensorFlow } from './src/runtime/tensorflow/install/install.ts';
     console.log('started');
     await installTensorFlow('cpu', { wheels: [${JSON.stringify(wheel)}] });`,
    (_stdout, kill) => {
      if (!started) onStart(kill);
      started = true;
    },
  );
}
