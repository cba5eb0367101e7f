/** Parameters nested by the dots of their names; numbers give arrays. */
export interface ParameterTree<Leaf> {
  [part: string]: ParameterTree<Leaf> | ParameterTree<Leaf>[] | Leaf;
}

/**
 * Nests parameters: `layers.0.mlp.up_proj.weight` is found at `tree.layers[0].mlp.up_proj.weight`.
 * @param parameters by name
 */
export function nestParameters<Leaf>(parameters: ReadonlyMap<string, Leaf>): ParameterTree<Leaf> {
  const root: Record<string, unknown> = {};
  for (const [name, leaf] of parameters) {
    const parts = name.split('.');
    let node = root;
    parts.slice(0, -1).forEach((part, i) => {
      const isArray = /^\d+$/.test(parts[i + 1] as string);
      node = (node[part] ??= isArray ? [] : {}) as Record<string, unknown>;
    });
    node[parts.at(-1) as string] = leaf;
  }
  return root as ParameterTree<Leaf>;
}
