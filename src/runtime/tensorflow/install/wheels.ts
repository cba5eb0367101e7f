import { BackendError } from '../../../common/errors.ts';
import type { Flavour } from '../locate.ts';

/** A file of the Python package index, as `finer1 setup` has to get it. */
export interface Wheel {
  /** its name, which says package, version, and what it runs on (PEP 427) */
  file: string;
  /** of the file, in hexadecimal */
  sha256: string;
  downloadBytes: number;
  /** of what is kept of it */
  unpackedBytes: number;
}

/*
 * Which Python a wheel of TensorFlow is for makes no difference to its C libraries. Of NVIDIA's wheels, those that
 * the metadata of TensorFlow 2.21.0 names under `and-cuda`, each in the newest version of its range that was out
 * when TensorFlow 2.21.0 was released (2026-03-06).
 */
const CPU_X64: readonly Wheel[] = [
  {
    file: 'tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl',
    sha256: 'dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb',
    downloadBytes: 274_000_871,
    unpackedBytes: 853_787_275,
  },
];
const CPU_ARM64: readonly Wheel[] = [
  {
    file: 'tensorflow-2.21.0-cp312-cp312-manylinux_2_27_aarch64.whl',
    sha256: 'b07d15737406533898e36c7ef7944b1be18e9028dc521b9229952c537bbc5552',
    downloadBytes: 281_946_471,
    unpackedBytes: 883_540_547,
  },
];
const GPU_X64: readonly Wheel[] = [
  {
    file: 'tensorflow-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl',
    sha256: 'b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0',
    downloadBytes: 572_611_111,
    unpackedBytes: 1_259_499_419,
  },
  {
    file: 'nvidia_cublas_cu12-12.9.1.4-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '453611eb21a7c1f2c2156ed9f3a45b691deda0440ec550860290dc901af5b4c2',
    downloadBytes: 581_242_350,
    unpackedBytes: 855_159_966,
  },
  {
    file: 'nvidia_cuda_cupti_cu12-12.9.79-py3-none-manylinux_2_25_x86_64.whl',
    sha256: '096bcf334f13e1984ba36685ad4c1d6347db214de03dbb6eebb237b41d9d934f',
    downloadBytes: 10_814_997,
    unpackedBytes: 43_425_030,
  },
  {
    file: 'nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: '5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0',
    downloadBytes: 40_546_229,
    unpackedBytes: 98_069_727,
  },
  {
    file: 'nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: '210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4',
    downloadBytes: 89_568_129,
    unpackedBytes: 227_400_254,
  },
  {
    file: 'nvidia_cuda_runtime_cu12-12.9.79-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3',
    downloadBytes: 3_493_179,
    unpackedBytes: 800_350,
  },
  {
    file: 'nvidia_cudnn_cu12-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl',
    sha256: 'ac6ad90a075bb33a94f2b4cf4622eac13dd4dc65cf6dd9c7572a318516a36625',
    downloadBytes: 657_906_812,
    unpackedBytes: 996_746_766,
  },
  {
    file: 'nvidia_cufft_cu12-11.4.1.4-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: 'c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28',
    downloadBytes: 200_877_592,
    unpackedBytes: 293_668_678,
  },
  {
    file: 'nvidia_curand_cu12-10.3.10.19-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e',
    downloadBytes: 68_295_626,
    unpackedBytes: 167_024_694,
  },
  {
    file: 'nvidia_cusolver_cu12-11.7.5.82-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88',
    downloadBytes: 338_117_415,
    unpackedBytes: 495_034_326,
  },
  {
    file: 'nvidia_cusparse_cu12-12.5.10.65-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78',
    downloadBytes: 366_465_088,
    unpackedBytes: 486_615_630,
  },
  {
    file: 'nvidia_nccl_cu12-2.29.7-py3-none-manylinux_2_18_x86_64.whl',
    sha256: 'ecd0a012051abc20c1aa87328841efa8cade3ced65803046e38c2f03c0891fea',
    downloadBytes: 293_633_942,
    unpackedBytes: 400_844_351,
  },
  {
    file: 'nvidia_nvjitlink_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: 'e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9',
    downloadBytes: 39_748_338,
    unpackedBytes: 95_994_606,
  },
];

/**
 * The wheels that TensorFlow's libraries for this machine come from.
 * @throws BackendError if there are none
 */
export function wheelsFor(flavour: Flavour): readonly Wheel[] {
  const machine = `${process.platform} ${process.arch}`;
  if (machine === 'linux x64') return flavour === 'gpu' ? GPU_X64 : CPU_X64;
  if (machine === 'linux arm64' && flavour === 'cpu') return CPU_ARM64;
  const what = flavour === 'gpu' ? 'TensorFlow with CUDA is' : 'TensorFlow is';
  throw new BackendError(
    `${what} not offered for this machine (${machine}): ` +
      (flavour === 'gpu' ? 'it needs Linux on x86_64. ' : 'it needs Linux on x86_64 or ARM64. ') +
      'The backend `wasm` works here without any set-up: set `backend: wasm`, or leave it `auto`.',
  );
}
