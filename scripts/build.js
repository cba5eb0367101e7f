/*
 * Builds the package into dist/: one JavaScript file for each entry and what they share, and the declarations.
 * tfjs-node-gpu's kernels become part of it: as a dependency it would download a native addon that is not used.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const BUNDLED_PACKAGE = '@tensorflow/tfjs-node-gpu';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));

/* Messages of TensorBoard's summaries, which nothing here writes that way; they would pull google-protobuf in. */
const withoutProtobuf = {
  name: 'without-protobuf',
  setup({ onLoad }) {
    onLoad({ filter: /tfjs-node-gpu\/dist\/proto\/api_pb\.js$/ }, () => ({
      contents: 'module.exports = {};',
    }));
  },
};

rmSync('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: {
    index: 'src/index.ts',
    runtime: 'src/runtime/index.ts',
    tapo: 'src/tapo/index.ts',
    cli: 'src/cli/main.ts',
    imageWorker: 'src/data/image/poolWorker.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  // Which tfjs carries: a program has one copy of it.
  alias: { '@tensorflow/tfjs-core': '@tensorflow/tfjs' },
  external: Object.keys(dependencies),
  plugins: [withoutProtobuf],
  // The bundled CommonJS modules call require.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module';\nconst require = makeRequire(import.meta.url);",
  },
  metafile: true,
  logLevel: 'warning',
});
cpSync('src/report/page', 'dist/page', { recursive: true });
assertBundledIsNoted(Object.keys(metafile.inputs));
execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.build.json'], { stdio: 'inherit' });

/* What is bundled is redistributed, so NOTICE has to name it. */
function assertBundledIsNoted(inputs) {
  const packages = inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const unnoted = packages.find((name) => name !== undefined && name !== BUNDLED_PACKAGE);
  if (unnoted !== undefined) {
    throw new Error(
      `${unnoted} got into the bundle. Make it a dependency, or allow it here and add it to NOTICE.`,
    );
  }
}
