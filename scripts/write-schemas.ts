/*
 * Writes what follows from the configs' schemas: the JSON Schemas by which editors complete and check configs
 * (configs/schemas/), and the page of all settings (docs/configs.md). Run: npx tsx scripts/write-schemas.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { editorSchemas } from '../src/config/editorSchemas.ts';
import { configDocs } from './configDocs.ts';

const schemas = editorSchemas();
const folder = new URL('../configs/schemas/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, schema] of Object.entries(schemas)) {
  const file = new URL(`${name}.json`, folder);
  const style = await resolveConfig(file);
  writeFileSync(file, await format(JSON.stringify(schema), { ...style, parser: 'json' }));
}
const page = new URL('../docs/configs.md', import.meta.url);
writeFileSync(
  page,
  await format(configDocs(schemas), { ...(await resolveConfig(page)), parser: 'markdown' }),
);
