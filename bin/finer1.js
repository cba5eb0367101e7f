#!/usr/bin/env node
import { existsSync } from 'node:fs';

const MINIMUM = [20, 19];

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
  console.error(
    `finer1 needs Node ${MINIMUM.join('.')} or later; this is ${process.versions.node} (${process.execPath}).`,
  );
  process.exit(1);
}

const source = new URL('../src/cli/main.ts', import.meta.url);
const built = new URL('../dist/cli.js', import.meta.url);
const { main } = existsSync(source) ? await importSource() : await importBuilt();
await main(process.argv.slice(2));

/* In a checkout the sources run as they are. */
async function importSource() {
  try {
    const { register } = await import('tsx/esm/api');
    register();
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.error('This checkout of finer1 has no packages yet: run `npm ci` in it.');
    process.exit(1);
  }
  return await import(source.href);
}

/* In the package they are built. */
async function importBuilt() {
  if (existsSync(built)) return await import(built.href);
  console.error('This package of finer1 was packed before it was built: make it with `npm run package`.');
  process.exit(1);
}
