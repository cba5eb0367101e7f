import { type Attribute, AttrType, intAttribute, typeAttribute } from './attributes.ts';
import type { TensorFlowBackend } from './backend.ts';
import type { TensorMetadata } from './binding.ts';
import { type Body, OpenFunction, type TensorSpec } from './function.ts';
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
  trace: Trace,
  state: readonly number[],
  cond: Body,
  body: Body,
): TensorMetadata[] {
  const { binding } = backend;
  const specs: TensorSpec[] = state.map((id) => binding.describe(id));
  using openCond = new OpenFunction(backend, 'whileLoop_cond', trace.xla);
  using openBody = new OpenFunction(backend, 'whileLoop_body', trace.xla);
  openCond.run(specs, [], cond);
  openBody.run(specs, openCond.trace.captures.keys(), body);
  for (const id of openBody.trace.captures.keys()) binding.symbolOf(id, openCond.trace);
  openBody.addOutputs(openBody.trace.captures.values());

  const [condName, bodyName] = [openCond, openBody].map((open) => {
    const definition = open.define();
    definition.giveTo(trace);
    return definition.name;
  }) as [string, string];
  const captured = [...openBody.trace.captures.keys()];
  const inputs = [...state, ...captured];
  const types = inputs.map((id) => binding.describe(id).dtype);
  const attributes: Attribute[] = [
    typeAttribute('T', types),
    {
      name: 'output_shapes',
      type: AttrType.SHAPE,
      value: inputs.map((id) => [...binding.describe(id).shape]),
    },
    intAttribute('parallel_iterations', 10),
    { name: 'cond', type: AttrType.FUNCTION, value: condName },
    { name: 'body', type: AttrType.FUNCTION, value: bodyName },
  ];
  const results = binding.executeOp('While', attributes, inputs, inputs.length);
  for (const { id } of results.slice(state.length)) binding.deleteTensor(id);
  return results.slice(0, state.length);
}
