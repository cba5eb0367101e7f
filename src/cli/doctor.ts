import type { CommandModule } from 'yargs';
import type { RuntimeConfig } from '../config/runtime.ts';
import type { Diagnosis } from './diagnose.ts';

interface DoctorOptions {
  backend: RuntimeConfig['backend'];
  json: boolean;
}

/** `finer1 doctor`: what this machine can compute on, how fast, and what is wrong. */
export const doctorCommand: CommandModule<object, DoctorOptions> = {
  command: 'doctor',
  describe: 'Show what this machine can compute on, how fast, and what to do where something is wrong',
  builder: {
    backend: {
      choices: ['auto', 'tensorflow', 'wasm'] as const,
      default: 'auto' as const,
      describe: 'The backend that has to run; the exit status is 1 if it cannot',
    },
    json: { type: 'boolean', default: false, describe: 'Print JSON' },
  },
  handler: async ({ backend, json }) => {
    const { diagnose } = await import('./diagnose.ts');
    const diagnosis = await diagnose(backend);
    process.stdout.write(json ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : render(diagnosis));
    if (diagnosis.backend.selected === null) process.exitCode = 1;
  },
};

function render(diagnosis: Diagnosis): string {
  const { problems } = diagnosis;
  const numbered = problems.map((problem, i) => `  ${i + 1}. ${problem}`);
  return [
    `finer1 ${diagnosis.finer1}, Node ${diagnosis.node.slice(1)}, ${diagnosis.platform}`,
    '',
    ...align(facts(diagnosis)),
    '',
    ...align(speeds(diagnosis)),
    '',
    ...(problems.length === 0 ? ['Nothing is wrong.'] : ['What is wrong, and what to do:', ...numbered]),
    '',
  ].join('\n');
}

function facts({ cpu, memory, cache, tensorflow, backend, xlaWorks }: Diagnosis): string[][] {
  const { selected } = backend;
  const devices = tensorflow?.devices.map(({ name, memoryBytes }) => `${name} (${gib(memoryBytes)})`);
  return [
    ['Processor', `${cpu.model}, ${cpu.cores} cores`],
    ['', cpu.instructions?.join(' ') ?? 'instruction sets unknown'],
    ['Memory', `${gib(memory.availableBytes)} free of ${gib(memory.totalBytes)}`],
    ['Cache', `${cache.folder}, ${gib(cache.freeBytes)} free`],
    [
      'TensorFlow',
      tensorflow === null ? 'none' : `${tensorflow.version} in ${tensorflow.folder} (${tensorflow.source})`,
    ],
    ['Devices', devices?.join(', ') ?? 'CPU, by wasm only'],
    ['XLA', xlaWorks === null ? 'none' : xlaWorks ? 'works' : 'does not work'],
    ['Backend', `${backend.asked} takes ${selected === null ? 'none: it cannot run' : describe(selected)}`],
  ];
}

const describe = ({ backend, device, why }: NonNullable<Diagnosis['backend']['selected']>): string =>
  `${backend} on ${device}: ${why}`;

function speeds({ speed }: Diagnosis): string[][] {
  const us = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(1)} µs`);
  const rows = Object.entries(speed).map(([backend, { matmulGflops, eagerOpUs, graphCallUs, xlaCallUs }]) => [
    backend,
    `${matmulGflops.toFixed(0)} GFLOP/s`,
    us(eagerOpUs),
    us(graphCallUs),
    us(xlaCallUs),
  ]);
  return [['Speed', 'matmul', 'eager op', 'graph call', 'XLA call'], ...rows];
}

function align(rows: string[][]): string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, i) => Math.max(cell.length, widest[i] ?? 0)),
    [],
  );
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
