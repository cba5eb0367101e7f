import { expect, it } from 'vitest';
import type { Weight } from '../../src/model/project.ts';
import { flatPart } from '../../src/model/functions.ts';

it('has the parameters of all layers in one order, in whatever order the files hold them', () => {
  const names = [
    'b.1.mlp.weight',
    'b.0.norm.weight',
    'b.1.attn.bias',
    'b.0.mlp.weight',
    'b.0.attn.bias',
    'b.1.norm.weight',
  ];
  const parameters = new Map(names.map((name) => [name, {} as Weight]));
  const [first, second] = ['b.0.', 'b.1.'].map((prefix) => Object.keys(flatPart(parameters, prefix)));
  expect(first).toEqual(['attn.bias', 'mlp.weight', 'norm.weight']);
  expect(second).toEqual(first);
});
