import { createHash, type Hash } from 'node:crypto';
import type { Attribute } from './attributes.ts';
import type { Output, Pointer } from './library.ts';

/**
 * The content of a graph in a number, node by node: graphs that are alike have the same one, in any process. Functions are
 * named by it, so that what TensorFlow and XLA keep for a function by its name is found again when the same one is traced
 * anew: XLA frees none of what it has compiled, and keeps it on disk by name.
 */
export class Digest {
  private readonly hash: Hash = createHash('sha256');
  private readonly numbers = new Map<Pointer, number>();

  /** Notes a node; those that it names have to be noted before. */
  note(
    node: Pointer,
    content: readonly unknown[],
    inputs: readonly Output[] = [],
    after: readonly Pointer[] = [],
  ): void {
    const places = inputs.map(({ oper, index }) => [this.numbers.get(oper), index]);
    this.add([...content, places, after.map((one) => this.numbers.get(one))]);
    this.numbers.set(node, this.numbers.size);
  }

  /** Notes what is no node: bytes of a constant, or which nodes are outputs. */
  add(content: readonly unknown[] | Uint8Array): void {
    if (content instanceof Uint8Array) this.hash.update(content);
    else this.hash.update(JSON.stringify(content, exactly));
  }

  /** Notes nodes by their numbers. */
  addOutputs(outputs: readonly Output[]): void {
    this.add(outputs.map(({ oper, index }) => [this.numbers.get(oper), index]));
  }

  /** What has been noted so far; nothing can be noted afterwards. */
  end(): string {
    return this.hash.digest('hex').slice(0, 20);
  }
}

/** Attributes as a digest takes them. */
export const attributesForDigest = (attributes: readonly Attribute[]): unknown[] =>
  attributes.map(({ name, type, value }) => [name, type, value]);

/* JSON has no NaN, no infinities and no -0. */
const exactly = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
    ? `number ${Object.is(value, -0) ? '-0' : String(value)}`
    : value;
