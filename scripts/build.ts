/*
 * Builds the package into dist/: one JavaScript file for each entry and what they share, and the declarations.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';

const BUNDLED_PACKAGE = '@tensorflow/tfjs-node-gpu';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
rmSync('dist', { recursive: true, force: true });
const inputs = await bundle(
  {
    index: 'src/index.ts',
    runtime: 'src/runtime/index.ts',
    tapo: 'src/tapo/index.ts',
    cli: 'src/cli/main.ts',
    imageWorker: 'src/data/image/poolWorker.ts',
  },
  'dist',
);
cpSync('src/report/page', 'dist/page', { recursive: true });
assertBundledIsNoted(inputs);
execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.build.json'], { stdio: 'inherit' });

/* What is bundled is redistributed, so NOTICE has to name it. */
function assertBundledIsNoted(files: readonly string[]): void {
  const packages = files.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const unnoted = packages.find((name) => name !== undefined && name !== BUNDLED_PACKAGE);
  if (unnoted !== undefined) {
    throw new Error(
      `${unnoted} got into the bundle. Make it a dependency, or allow it here and add it to NOTICE.`,
    );
  }
}
