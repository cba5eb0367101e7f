import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';

/** The instruction sets that decide how fast products of matrices are, as Linux calls them. */
const MATRIX_INSTRUCTIONS = [
  ...['avx', 'avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'avx_vnni'],
  ...['amx_tile', 'amx_int8', 'amx_bf16', 'amx_fp16'],
  ...['asimd', 'asimddp', 'sve', 'sve2', 'i8mm', 'bf16'],
];

export interface Cpu {
  model: string;
  /** that this process may use */
  cores: number;
  /** those of the instruction sets for matrices that it has; undefined where the system does not tell */
  instructions: string[] | undefined;
}

/** The processor of this machine. */
export function readCpu(): Cpu {
  const known = readInstructionSets();
  return {
    model: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    instructions: known && MATRIX_INSTRUCTIONS.filter((name) => known.includes(name)),
  };
}

/** Every feature of the processor, as Linux calls them; undefined on other systems. */
export function readInstructionSets(): string[] | undefined {
  let text: string;
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return undefined; // Linux only.
  }
  return /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/);
}

/** Main memory in bytes; a container's limit counts. */
export function readMemory(): { totalBytes: number; availableBytes: number } {
  const limit = process.constrainedMemory();
  const totalBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { totalBytes, availableBytes: Math.min(freemem(), totalBytes) };
}

/** Free bytes on the disk of a folder, which need not exist yet. */
export async function readFreeDisk(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return readFreeDisk(dirname(folder));
  }
}
