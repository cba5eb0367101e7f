import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { orCannotWrite } from '../../model/safetensors.ts';

/** A checkpoint of a run. */
export interface SavedCheckpoint {
  /** steps that were done when it was saved */
  step: number;
  folder: string;
}

const FOLDER = 'checkpoints';
const WHOLE = /^step-(\d+)$/;

/** Where a run's checkpoint belongs; `replaceFolder` writes it so that it is there whole or not at all. */
export const checkpointFolder = (runFolder: string, step: number): string =>
  join(runFolder, FOLDER, `step-${step}`);

/** A run's checkpoints, all of them whole, the oldest first. */
export function listCheckpoints(runFolder: string): SavedCheckpoint[] {
  const folder = join(runFolder, FOLDER);
  return names(folder)
    .flatMap((name) => {
      const step = WHOLE.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), folder: join(folder, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/** The checkpoint that a run goes on from. */
export const newestCheckpoint = (runFolder: string): SavedCheckpoint | undefined =>
  listCheckpoints(runFolder).at(-1);

/**
 * Deletes all checkpoints but the last few and the best.
 *
 * @param best its step
 * @throws CheckpointError if one cannot be deleted
 */
export function pruneCheckpoints(runFolder: string, keepLast: number, best?: number): void {
  for (const { folder, step } of listCheckpoints(runFolder).slice(0, -keepLast)) {
    if (step === best) continue;
    // What is half deleted must not go by the name of a whole one.
    const leaving = join(runFolder, FOLDER, `.step-${step}.leaving`);
    orCannotWrite(folder, () => {
      rmSync(leaving, { recursive: true, force: true });
      renameSync(folder, leaving);
      rmSync(leaving, { recursive: true });
    });
  }
}

/**
 * Deletes what a kill left of checkpoints that were being written or deleted.
 * @throws CheckpointError if it cannot be deleted
 */
export function deleteLeftOvers(runFolder: string): void {
  const folder = join(runFolder, FOLDER);
  for (const name of names(folder).filter((one) => one.startsWith('.step-'))) {
    orCannotWrite(folder, () => {
      rmSync(join(folder, name), { recursive: true, force: true });
    });
  }
}

const names = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
