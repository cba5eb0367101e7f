import { copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

/* Weights, and what says where they are: written anew with every save. */
const WEIGHTS = /\.safetensors(\.index\.json)?$|\.bin$|\.gguf$/;

/** Copies all of a model's folder but the weights: configs, tokenizer, chat template, licence. */
export function copyModelFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  if (resolve(from) === resolve(to)) return;
  for (const name of readdirSync(from)) {
    if (!name.startsWith('.') && !WEIGHTS.test(name) && statSync(join(from, name)).isFile()) {
      copyFileSync(join(from, name), join(to, name));
    }
  }
}
