import { type Compiled, compile, type CompileOptions } from '../runtime/compile.ts';
import type { Variable } from '../runtime/variable.ts';
import { nestParameters } from './parameters.ts';
import type { Weight } from './project.ts';

/** Parameters of a part of the model by their names within it, e.g. `self_attn.q_proj.weight`. */
export type FlatParameters<W extends Weight = Variable> = Readonly<Record<string, W>>;

/** Compiled functions with one owner. */
export type CompiledFunctions = ReturnType<typeof createFunctions>;

/**
 * Makes what makes compiled functions, and frees them.
 * @param fused whether functions of the whole model are compiled as one
 */
export function createFunctions(fused: boolean) {
  const made: Disposable[] = [];
  const compiled = <A extends unknown[], R>(
    name: string,
    fn: (...args: A) => R,
    options: CompileOptions = {},
  ): Compiled<A, R> => {
    const result = compile(fn, { ...options, name });
    made.push(result);
    return result;
  };
  return {
    fused,
    /** A function that is compiled alone. */
    compiled,
    /** A function of the whole model: compiled where the model is small, else it just calls what is compiled. */
    whole: <A extends unknown[], R>(
      name: string,
      fn: (...args: A) => R,
      options: CompileOptions = {},
    ): ((...args: A) => R) => (fused ? compiled(name, fn, options) : fn),
    dispose: (): void => {
      for (const fn of made) fn[Symbol.dispose]();
    },
  };
}

/**
 * The parameters whose names begin with `prefix`, by the rest of their names and in their order, whatever the order in the
 * files: lists of the names that are trained are then the same for all layers, which so share one function.
 */
export function flatPart<W extends Weight>(
  parameters: ReadonlyMap<string, W>,
  prefix: string,
): FlatParameters<W> {
  const part = [...parameters]
    .filter(([name]) => name.startsWith(prefix))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(part.map(([name, variable]) => [name.slice(prefix.length), variable]));
}

/** Nests parameters by their names' dots; an adapter's factors become its module's `lora`. */
export function withAdapters(flat: FlatParameters<Weight>, scaling: number): unknown {
  const tree = nestParameters(new Map(Object.entries(flat)));
  if (!Object.keys(flat).some((name) => name.endsWith('.lora_A.weight'))) return tree;
  const adapt = (node: unknown): unknown => {
    if (node === null || typeof node !== 'object' || 'dtype' in node) return node;
    if (Array.isArray(node)) return node.map(adapt);
    const { lora_A, lora_B, ...rest } = node as Record<string, { weight: Weight } | undefined>;
    const adapted = Object.fromEntries(Object.entries(rest).map(([key, child]) => [key, adapt(child)]));
    return lora_A === undefined || lora_B === undefined
      ? adapted
      : { ...adapted, lora: { a: lora_A.weight, b: lora_B.weight, scaling } };
  };
  return adapt(tree);
}
