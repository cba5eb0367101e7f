/** The package's entry `finer1/runtime`. */
export { type Compiled, compile, type CompileOptions } from './compile.ts';
export { type Compute, linear } from './linear.ts';
export { gumbel, type RandomKey, uniform } from './random.ts';
export { type SelectedBackend, selectBackend } from './select.ts';
export { registerTensorFlowBackend } from './tensorflow/backend.ts';
export { type FileRange, Variable, type VariableDType, type VariableOptions } from './variable.ts';
export { whileLoop } from './whileLoop.ts';
