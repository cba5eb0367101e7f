import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';

/* How a string of a config becomes absolute. */
const resolvers = z.registry<{ resolve: (folder: string, given: string) => string }>();

/** A path; in a config file relative to that file. */
export const pathField = (description: string): z.ZodString =>
  z.string().min(1).describe(description).register(resolvers, { resolve });

/** A model's folder, in a config file relative to that file, or a hub id (`owner/name`). */
export const modelField = (description: string): z.ZodString =>
  z
    .string()
    .min(1)
    .describe(description)
    .register(resolvers, {
      resolve: (folder, given) => {
        const path = resolve(folder, given);
        return /^\.{0,2}\//.test(given) || !given.includes('/') || existsSync(path) ? path : given;
      },
    });

/** The absolute form of a string in the place of a schema, if that is a path. */
export function resolveField(schema: z.ZodType | undefined, folder: string, given: string): string {
  return (schema && resolvers.get(schema)?.resolve(folder, given)) ?? given;
}
