/*
 * Writes the JSON Schemas of the configs, by which editors complete and check them, to configs/schemas/.
 * Run: npx tsx scripts/write-schemas.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { editorSchemas } from '../src/config/editorSchemas.ts';

const folder = new URL('../configs/schemas/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, schema] of Object.entries(editorSchemas())) {
  const file = new URL(`${name}.json`, folder);
  const style = await resolveConfig(file);
  writeFileSync(file, await format(JSON.stringify(schema), { ...style, parser: 'json' }));
}
