import { BackendError } from '../../common/errors.ts';
import { type CApi, type Pointer, pointersTo } from './library.ts';

/** Kinds of op attributes, as tfjs numbers them (`TF_AttrType` in c_api.h). */
export const AttrType = {
  STRING: 0,
  INT: 1,
  FLOAT: 2,
  BOOL: 3,
  TYPE: 4,
  SHAPE: 5,
  FUNCTION: 8,
  RESOURCE: 9,
} as const;

/** An op's attribute: a value of the kind `type`, or a list of such values. A shape of null has unknown rank. */
export interface Attribute {
  name: string;
  type: number;
  value: AttributeValue;
}
type Shape = readonly number[] | null;
type AttributeValue = boolean | number | string | Shape | readonly (boolean | string | Shape)[];

/** One family of C functions that set attributes: those of eager ops, or those of graph nodes. */
export interface AttributeSetters {
  string: CApi['TF_SetAttrString'];
  int: CApi['TF_SetAttrInt'];
  float: CApi['TF_SetAttrFloat'];
  bool: CApi['TF_SetAttrBool'];
  type: CApi['TF_SetAttrType'];
  shape: CApi['TF_SetAttrShape'];
  function: CApi['TF_SetAttrFuncName'];
  stringList: CApi['TF_SetAttrStringList'];
  intList: CApi['TF_SetAttrIntList'];
  floatList: CApi['TF_SetAttrFloatList'];
  boolList: CApi['TF_SetAttrBoolList'];
  typeList: CApi['TF_SetAttrTypeList'];
  shapeList: CApi['TF_SetAttrShapeList'];
}

/** Setters for eager ops (`TFE_Op`); a bad shape is reported in `status`. */
export const eagerSetters = (c: CApi, status: Pointer): AttributeSetters => ({
  string: c.TFE_OpSetAttrString,
  int: c.TFE_OpSetAttrInt,
  float: c.TFE_OpSetAttrFloat,
  bool: c.TFE_OpSetAttrBool,
  type: c.TFE_OpSetAttrType,
  shape: (op, name, dims, rank) => c.TFE_OpSetAttrShape(op, name, dims, rank, status),
  function: c.TFE_OpSetAttrFunctionName,
  stringList: c.TFE_OpSetAttrStringList,
  intList: c.TFE_OpSetAttrIntList,
  floatList: c.TFE_OpSetAttrFloatList,
  boolList: c.TFE_OpSetAttrBoolList,
  typeList: c.TFE_OpSetAttrTypeList,
  shapeList: (op, name, dims, ranks, count) => c.TFE_OpSetAttrShapeList(op, name, dims, ranks, count, status),
});

/** Setters for graph nodes in the making (`TF_OperationDescription`); errors show when the node is finished. */
export const graphSetters = (c: CApi): AttributeSetters => ({
  string: c.TF_SetAttrString,
  int: c.TF_SetAttrInt,
  float: c.TF_SetAttrFloat,
  bool: c.TF_SetAttrBool,
  type: c.TF_SetAttrType,
  shape: c.TF_SetAttrShape,
  function: c.TF_SetAttrFuncName,
  stringList: c.TF_SetAttrStringList,
  intList: c.TF_SetAttrIntList,
  floatList: c.TF_SetAttrFloatList,
  boolList: c.TF_SetAttrBoolList,
  typeList: c.TF_SetAttrTypeList,
  shapeList: c.TF_SetAttrShapeList,
});

/**
 * Sets an attribute of an op.
 *
 * @param op the `TFE_Op` or `TF_OperationDescription` that `set` is for
 * @throws BackendError for a kind of attribute that TensorFlow does not have
 */
export function setAttribute(set: AttributeSetters, op: Pointer, { name, type, value }: Attribute): void {
  switch (type) {
    case AttrType.STRING:
      if (Array.isArray(value)) {
        const strings = (value as string[]).map((text) => Buffer.from(text));
        set.stringList(op, name, pointersTo(strings), lengths(strings), strings.length);
      } else set.string(op, name, value as string, Buffer.byteLength(value as string));
      break;
    case AttrType.INT:
      // tfjs passes fractional sizes where it has computed them by division.
      if (Array.isArray(value)) set.intList(op, name, int64s(value as number[]), value.length);
      else set.int(op, name, Math.trunc(value as number));
      break;
    case AttrType.FLOAT:
      if (Array.isArray(value)) set.floatList(op, name, Float32Array.from(value as number[]), value.length);
      else set.float(op, name, value as number);
      break;
    case AttrType.BOOL:
      if (Array.isArray(value))
        set.boolList(op, name, Uint8Array.from(value as number[], Number), value.length);
      else set.bool(op, name, value ? 1 : 0);
      break;
    case AttrType.TYPE:
      if (Array.isArray(value)) set.typeList(op, name, Int32Array.from(value as number[]), value.length);
      else set.type(op, name, value as number);
      break;
    case AttrType.SHAPE:
      if (isShapeList(value)) {
        const shapes = value.map((shape) => int64s(shape ?? []));
        const ranks = Int32Array.from(value, (shape) => shape?.length ?? -1);
        set.shapeList(op, name, pointersTo(shapes), ranks, shapes.length);
      } else set.shape(op, name, int64s((value as Shape) ?? []), (value as Shape)?.length ?? -1);
      break;
    case AttrType.FUNCTION:
      set.function(op, name, value as string, Buffer.byteLength(value as string));
      break;
    default:
      throw new BackendError(`The attribute ${name} is of kind ${type}, which TensorFlow's ops do not have.`);
  }
}

const int64s = (values: readonly number[]): BigInt64Array =>
  BigInt64Array.from(values, (value) => BigInt(Math.trunc(value)));

const lengths = (strings: readonly Uint8Array[]): BigUint64Array =>
  BigUint64Array.from(strings, (bytes) => BigInt(bytes.length));

const isShapeList = (value: AttributeValue): value is readonly Shape[] =>
  Array.isArray(value) && value.some((shape) => shape === null || Array.isArray(shape));

export const typeAttribute = (name: string, value: number | readonly number[]): Attribute => ({
  name,
  type: AttrType.TYPE,
  value,
});
export const intAttribute = (name: string, value: number | readonly number[]): Attribute => ({
  name,
  type: AttrType.INT,
  value,
});
export const boolAttribute = (name: string, value: boolean): Attribute => ({
  name,
  type: AttrType.BOOL,
  value,
});
export const stringAttribute = (name: string, value: string): Attribute => ({
  name,
  type: AttrType.STRING,
  value,
});
export const shapeAttribute = (name: string, value: readonly number[]): Attribute => ({
  name,
  type: AttrType.SHAPE,
  value,
});
