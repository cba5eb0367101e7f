import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parse, parseDocument } from 'yaml';
import { ConfigError, messageOf } from '../common/errors.ts';

/** A value of a config with the place where it was written. */
export interface SourceNode {
  /** `file:line:column` of the value, or the flag that set it */
  at: string;
  /** the same of its key */
  keyAt: string;
  /** relative paths in the value are relative to this folder */
  folder: string;
  content: SourceMap | SourceNode[] | Scalar;
}
export type SourceMap = Map<string, SourceNode>;
type Scalar = string | number | boolean | bigint | null;

/* What nests deeper holds itself, through an alias. */
const MAX_DEPTH = 64;

/**
 * Reads a YAML file and those that it extends: maps merge, of all else the later value holds.
 *
 * @param extending files that led to this one, for cycles
 * @throws ConfigError that names file, line and column
 */
export function readSource(file: string, extending: readonly string[] = []): SourceNode {
  const own = parseSource(file, readText(file));
  const parent = takeExtends(own);
  if (parent === undefined) return own;
  // Messages name the file as the person did, so a relative path stays one.
  const path = isAbsolute(parent.content) ? parent.content : join(dirname(file), parent.content);
  const chain = [...extending, file];
  if (chain.some((one) => resolve(one) === resolve(path))) {
    throw new ConfigError(
      `${parent.at}: extends goes round in a circle: ${[...chain, path].join(' -> ')}. Take one of them out.`,
    );
  }
  try {
    return merge(readSource(path, chain), own);
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    throw new ConfigError(`${parent.at}: extends names ${parent.content}, but ${error.message}`);
  }
}

/**
 * Sets a value from the command line; its relative paths are relative to the working folder.
 *
 * @param override `path.to.key=value`, the value in YAML
 * @throws ConfigError if it is none
 */
export function applyOverride(root: SourceNode, override: string): SourceNode {
  const [, path, text] = /^([^=\s]+?)=(.*)$/s.exec(override) ?? [];
  if (path === undefined || text === undefined || path.split('.').includes('')) {
    throw new ConfigError(
      `--set ${override} cannot be read. Give path.to.key=value, such as optimiser.learningRate=1e-5.`,
    );
  }
  const at = `--set ${override}`;
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new ConfigError(`${at}: the value is no YAML: ${messageOf(error)}`);
  }
  const place = { at, keyAt: at, folder: process.cwd() };
  const node = path
    .split('.')
    .reduceRight<SourceNode>(
      (inner, key) => ({ ...place, content: new Map([[key, inner]]) }),
      fromPlain(value, place),
    );
  return merge(root, node);
}

class UnreadableError extends ConfigError {}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UnreadableError(`${file} cannot be read: ${messageOf(error)}. Give the path of a config file.`);
  }
}

function parseSource(file: string, text: string): SourceNode {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const placeOf = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [wrong] = document.errors;
  if (wrong !== undefined)
    throw new ConfigError(`${placeOf(wrong.pos[0])}: this is no YAML: ${wrong.message}`);
  const folder = dirname(resolve(file));

  const convert = (node: unknown, at: string, keyAt: string, depth: number): SourceNode => {
    const place = { at, keyAt, folder };
    if (depth > MAX_DEPTH) throw new ConfigError(`${at}: this nests more than ${MAX_DEPTH} levels deep.`);
    if (isAlias(node)) return convert(node.resolve(document), at, keyAt, depth + 1);
    const inner = (child: unknown, key: unknown): SourceNode => {
      const childAt = startOf(child) ?? startOf(key);
      const keyStart = startOf(key) ?? startOf(child);
      return convert(
        child,
        childAt === undefined ? at : placeOf(childAt),
        keyStart === undefined ? at : placeOf(keyStart),
        depth + 1,
      );
    };
    if (isMap(node)) {
      const entries = node.items.map(({ key, value }) => [String(key), inner(value, key)] as const);
      return { ...place, content: new Map(entries) };
    }
    if (isSeq(node)) return { ...place, content: node.items.map((item) => inner(item, undefined)) };
    return { ...place, content: isScalar(node) ? (node.value as Scalar) : null };
  };

  const root = document.contents;
  const top = convert(root, placeOf(startOf(root) ?? 0), file, 0);
  if (root === null || (isScalar(root) && root.value === null)) return { ...top, content: new Map() };
  if (top.content instanceof Map) return top;
  throw new ConfigError(`${top.at}: a config is a map of settings, such as \`seed: 1\`; this is none.`);
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];

/* Takes `extends` out of a file's map. */
function takeExtends(root: SourceNode): { content: string; at: string } | undefined {
  const map = root.content as SourceMap;
  const found = map.get('extends');
  if (found === undefined) return undefined;
  map.delete('extends');
  if (typeof found.content === 'string') return { content: found.content, at: found.at };
  throw new ConfigError(`${found.at}: extends has to be the path of one config file, relative to this one.`);
}

function merge(under: SourceNode, over: SourceNode): SourceNode {
  if (!(under.content instanceof Map && over.content instanceof Map)) return over;
  const content = new Map(under.content);
  for (const [key, node] of over.content) {
    const former = content.get(key);
    content.set(key, former === undefined ? node : merge(former, node));
  }
  return { ...over, content };
}

function fromPlain(value: unknown, place: Pick<SourceNode, 'at' | 'keyAt' | 'folder'>): SourceNode {
  if (Array.isArray(value)) return { ...place, content: value.map((item) => fromPlain(item, place)) };
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => [key, fromPlain(item, place)] as const);
    return { ...place, content: new Map(entries) };
  }
  return { ...place, content: value as Scalar };
}
