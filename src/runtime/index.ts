/// <reference lib="esnext.disposable" preserve="true" />
/** The package's entry `finer1/runtime`. */
export { type Compiled, compile, type CompileOptions } from './compile.ts';
export { linear, linearVjp } from './linear.ts';
export { gumbel, type RandomKey, uniform } from './random.ts';
export { type SelectedBackend, selectBackend } from './select.ts';
export { registerTensorFlowBackend } from './tensorflow/register.ts';
export type { Compute } from './tensorflow/multiply.ts';
export type { VariableDType } from './storage.ts';
export { type FileRange, Variable, type VariableOptions } from './variable.ts';
export { whileLoop } from './whileLoop.ts';
