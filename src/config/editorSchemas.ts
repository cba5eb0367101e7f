import { z } from 'zod';
import { sftSchema } from './sft.ts';
import { tapoSchema } from './tapo.ts';

/* Settings whose values may be missing in a file: another one that it extends can have them. */
const EXTENDS = {
  type: 'string',
  description:
    'a config that this one goes on from: maps merge, lists are replaced, null takes a setting away',
};

/** The JSON Schemas of all configs, by name, as editors read them. */
export function editorSchemas(): Record<string, unknown> {
  return { sft: forEditors(sftSchema), tapo: forEditors(tapoSchema) };
}

function forEditors(schema: z.ZodObject): unknown {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-7',
    override: ({ jsonSchema }) => {
      delete jsonSchema.required;
    },
  });
  return { ...json, properties: { extends: EXTENDS, ...json.properties } };
}
