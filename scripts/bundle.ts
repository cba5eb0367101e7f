/*
 * Bundles programs with what they share. tfjs-node-gpu's kernels become part of it: as a dependency it would download a native
 * addon that is not used.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/* Messages of TensorBoard's summaries, which nothing here writes that way; they would pull google-protobuf in. */
const withoutProtobuf: Plugin = {
  name: 'without-protobuf',
  setup(plugins) {
    plugins.onLoad({ filter: /tfjs-node-gpu\/dist\/proto\/api_pb\.js$/ }, () => ({
      contents: 'module.exports = {};',
    }));
  },
};

/**
 * @param entryPoints names of the programs, and their sources from the root
 * @param outdir from the root
 * @returns the files that are part of it, from the root
 */
export async function bundle(entryPoints: Record<string, string>, outdir: string): Promise<string[]> {
  const manifest = readFileSync(`${ROOT}package.json`, 'utf8');
  const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints,
    outdir,
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
  return Object.keys(metafile.inputs);
}
