/*
 * The little of protocol buffers' wire format (protobuf.dev/programming-guides/encoding) that TensorFlow's C API
 * asks for: its configuration goes in as bytes, an op's definition comes out as bytes.
 */

/** One field of a message to encode: bytes and strings are length-delimited, booleans and integers varints. */
export type Field = readonly [number: number, value: boolean | number | Uint8Array];

/** Encodes a message. Integers must be >= 0. */
export function encodeMessage(fields: readonly Field[]): Uint8Array {
  return new Uint8Array(Buffer.concat(fields.map(encodeField)));
}

function encodeField([number, value]: Field): Buffer {
  if (value instanceof Uint8Array) {
    return Buffer.concat([varint((number << 3) | 2), varint(value.length), value]);
  }
  return Buffer.concat([varint(number << 3), varint(Number(value))]);
}

/** The fields of an encoded message in their order: varints as numbers, length-delimited ones as bytes. */
export function decodeMessage(bytes: Uint8Array): [number: number, value: number | Uint8Array][] {
  const fields: [number, number | Uint8Array][] = [];
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        fields.push([number, readVarint()]);
        break;
      case 2: {
        const length = readVarint();
        fields.push([number, bytes.subarray(at, at + length)]);
        at += length;
        break;
      }
      default: // fixed 64 or 32 bits
        fields.push([number, bytes.subarray(at, (at += (tag & 7) === 1 ? 8 : 4))]);
    }
  }
  return fields;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}
