import { type Attribute, AttrType, intAttribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import { type Body, type DefinedFunction, OpenFunction, type TensorSpec } from './function.ts';
import type { Trace } from './trace.ts';

/**
 * Adds TensorFlow's `While` to the open trace `trace`.
 *
 * Both functions have to take the same inputs, and the second has to return as many: so what either of them
 * captures becomes part of the loop's state, and passes through.
 *
 * @param state numbers of the tensors that the loop begins with
 * @returns the state at the end
 */
export function addWhile(
  backend: TensorFlowBackend,
  name: string,
  trace: Trace,
  state: readonly number[],
  cond: Body,
  body: Body,
): TensorMetadata[] {
  const { binding } = backend;
  const specs: TensorSpec[] = state.map((id) => binding.describe(id));
  using openCond = new OpenFunction(backend, `${name}_cond`, trace.xla);
  using openBody = new OpenFunction(backend, `${name}_body`, trace.xla);
  openCond.run(specs, [], cond);
  openBody.run(specs, openCond.trace.captures.keys(), body);
  for (const id of openBody.trace.captures.keys()) binding.symbolOf(id, openCond.trace);
  openBody.addOutputs(openBody.trace.captures.values());

  const functions = [openCond, openBody].map((open) => open.define());
  const captured = [...openBody.trace.captures.keys()];
  const inputs = [...state, ...captured];
  const types = inputs.map((id) => binding.describe(id).dtype);
  const attributes: Attribute[] = [
    { name: 'T', type: AttrType.TYPE, value: types },
    {
      name: 'output_shapes',
      type: AttrType.SHAPE,
      value: inputs.map((id) => [...binding.describe(id).shape]),
    },
    intAttribute('parallel_iterations', 10),
    ...['cond', 'body'].map((attribute, i) => ({
      name: attribute,
      type: AttrType.FUNCTION,
      value: (functions[i] as DefinedFunction).name,
    })),
  ];
  for (const definition of functions) definition.giveTo(trace);
  const results = binding.executeOp('While', attributes, inputs, inputs.length);
  for (const { id } of results.slice(state.length)) binding.deleteTensor(id);
  return results.slice(0, state.length);
}
