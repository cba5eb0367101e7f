import { Document } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../common/errors.ts';
import { resolveField } from './paths.ts';
import { applyOverride, readSource, type SourceNode } from './source.ts';
import { suggest } from './suggest.ts';

/**
 * Reads a config: YAML, checked by a schema. `extends: other.yaml` puts a file under it: maps merge, lists are
 * replaced, and `null` takes a setting away. Relative paths are relative to the file that they stand in; in overrides,
 * to the working folder.
 *
 * @param overrides `path.to.key=value` each, the value in YAML
 * @throws ConfigError that names, for each setting that is wrong, file, line, column and path, what was found and what
 *   was expected
 */
export function loadConfigFile<S extends z.ZodObject>(
  file: string,
  schema: S,
  overrides: readonly string[] = [],
): z.output<S> {
  const source = overrides.reduce(applyOverride, readSource(file));
  const result = schema.safeParse(toPlain(source, schema));
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => describeIssue(issue, source, schema));
  throw new ConfigError(problems.join('\n'));
}

/**
 * Which of some settings a file has at its top, what it extends included.
 * @throws ConfigError if it cannot be read
 */
export function settingsIn(file: string, names: readonly string[]): string[] {
  const { content } = readSource(file);
  return content instanceof Map ? names.filter((name) => content.has(name)) : [];
}

/** A config in the form that `loadConfigFile` reads. */
export function toYaml(config: object): string {
  return new Document(config, { aliasDuplicateObjects: false }).toString({ lineWidth: 110 });
}

/* The values alone, paths absolute, without settings that were taken away. */
function toPlain({ content, folder }: SourceNode, schema: z.ZodType | undefined): unknown {
  if (content instanceof Map) {
    const entries = [...content]
      .map(([key, node]) => [key, node, childOf(schema, key)] as const)
      .filter(([, node, child]) => node.content !== null || child === undefined)
      .map(([key, node, child]) => [key, toPlain(node, child)] as const);
    return Object.fromEntries(entries);
  }
  if (Array.isArray(content)) return content.map((node, i) => toPlain(node, childOf(schema, i)));
  return typeof content === 'string' ? resolveField(schema && unwrap(schema), folder, content) : content;
}

/* What is optional, without that. */
function unwrap(schema: z.ZodType): z.ZodType {
  const isWrapped =
    schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
  return isWrapped ? unwrap(schema.unwrap() as z.ZodType) : schema;
}

function childOf(schema: z.ZodType | undefined, key: PropertyKey): z.ZodType | undefined {
  const inner = schema && unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.hasOwn(inner.shape, key) ? (inner.shape[key as string] as z.ZodType) : undefined;
  }
  return inner instanceof z.ZodArray ? (inner.element as z.ZodType) : undefined;
}

function describeIssue(issue: z.core.$ZodIssue, source: SourceNode, schema: z.ZodObject): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const node = find(source, [...issue.path, key]) ?? source;
      return `${node.keyAt}: there is no setting ${pathOf([...issue.path, key])}. ${hintFor(key, issue.path, schema)}`;
    });
  }
  const path = pathOf(issue.path);
  const node = find(source, issue.path);
  const { at } = nearest(source, issue.path);
  const isMissing = node === undefined || node.content === null;
  const expected = /expected (.*?)(?:, received .*)?$/s.exec(issue.message)?.[1];
  if (!isMissing && expected !== undefined) return [`${at}: ${path} is ${show(node)}; expected ${expected}.`];
  if (isMissing && expected !== undefined) {
    const meaning = schemaAt(schema, issue.path)?.description;
    return [
      `${at}: ${path} is missing; expected ${expected}${meaning === undefined ? '' : ` (${meaning})`}.`,
    ];
  }
  return [`${at}: ${path === '' ? '' : `${path}: `}${issue.message}`];
}

const schemaAt = (schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined =>
  path.reduce<z.ZodType | undefined>((at, key) => childOf(at, key), schema);

function find(source: SourceNode, path: readonly PropertyKey[]): SourceNode | undefined {
  return path.reduce<SourceNode | undefined>((node, key) => {
    if (node?.content instanceof Map) return node.content.get(String(key));
    return Array.isArray(node?.content) ? node.content[key as number] : undefined;
  }, source);
}

/* The innermost value along a path. */
function nearest(source: SourceNode, path: readonly PropertyKey[]): SourceNode {
  return find(source, path) ?? (path.length === 0 ? source : nearest(source, path.slice(0, -1)));
}

/* What was meant: a key beside the wrong one, or the same key in another place. */
function hintFor(key: string, path: readonly PropertyKey[], schema: z.ZodObject): string {
  const known = Object.keys(shapeOf(schemaAt(schema, path)) ?? {});
  const near = suggest(key, known);
  const elsewhere = allPaths(schema).find((one) => one.split('.').at(-1) === key);
  const meant = near === undefined ? elsewhere : pathOf([...path, near]);
  return meant === undefined ? `There are ${known.join(', ')}.` : `Did you mean ${meant}?`;
}

function shapeOf(schema: z.ZodType | undefined): Record<string, z.ZodType> | undefined {
  const inner = schema && unwrap(schema);
  return inner instanceof z.ZodObject ? inner.shape : undefined;
}

function allPaths(schema: z.ZodType): string[] {
  return Object.entries(shapeOf(schema) ?? {}).flatMap(([key, child]) => [
    key,
    ...allPaths(child).map((rest) => `${key}.${rest}`),
  ]);
}

const pathOf = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');

function show({ content }: SourceNode): string {
  if (content instanceof Map) return 'a map';
  if (Array.isArray(content)) return `a list of ${content.length}`;
  return typeof content === 'string' ? JSON.stringify(content) : String(content);
}
