/** ONNX's messages as field tables; reading and writing share them. Source: onnx/onnx.proto3 (IR version 14). */
import type { FieldDef, Kind, Schema } from './wire.ts'

const one = (name: string, kind: Kind): FieldDef => ({ name, kind })
const many = (name: string, kind: Kind): FieldDef => ({ name, kind, repeated: true })
const manyUnpacked = (name: string, kind: Kind): FieldDef => ({ name, kind, repeated: true, unpacked: true })
const schema = (message: string, fields: () => Record<number, FieldDef>): Schema => {
  let table: Record<number, FieldDef> | undefined
  return { message, fields: () => (table ??= fields()) }
}

export const ModelProto = schema('ModelProto', () => ({
  1: one('irVersion', 'int'),
  2: one('producerName', 'string'),
  3: one('producerVersion', 'string'),
  4: one('domain', 'string'),
  5: one('modelVersion', 'int'),
  6: one('docString', 'string'),
  7: one('graph', GraphProto),
  8: many('opsets', OperatorSetIdProto),
  14: many('metadata', StringStringEntryProto),
  20: many('training', TrainingInfoProto),
  25: many('functions', FunctionProto),
}))

export const TrainingInfoProto = schema('TrainingInfoProto', () => ({
  1: one('initialization', GraphProto),
  2: one('algorithm', GraphProto),
  3: many('initializationBinding', StringStringEntryProto),
  4: many('updateBinding', StringStringEntryProto),
}))

export const OperatorSetIdProto = schema('OperatorSetIdProto', () => ({
  1: one('domain', 'string'),
  2: one('version', 'int'),
}))

export const StringStringEntryProto = schema('StringStringEntryProto', () => ({
  1: one('key', 'string'),
  2: one('value', 'string'),
}))

export const GraphProto = schema('GraphProto', () => ({
  1: many('nodes', NodeProto),
  2: one('name', 'string'),
  5: many('initializers', TensorProto),
  10: one('docString', 'string'),
  11: many('inputs', ValueInfoProto),
  12: many('outputs', ValueInfoProto),
  13: many('valueInfo', ValueInfoProto),
  14: many('quantization', TensorAnnotation),
  15: many('sparseInitializers', SparseTensorProto),
  16: many('metadata', StringStringEntryProto),
}))

export const TensorAnnotation = schema('TensorAnnotation', () => ({
  1: one('tensorName', 'string'),
  2: many('parameters', StringStringEntryProto),
}))

export const SparseTensorProto = schema('SparseTensorProto', () => ({
  1: one('values', TensorProto),
  2: one('indices', TensorProto),
  3: manyUnpacked('dims', 'int'),
}))

export const NodeProto = schema('NodeProto', () => ({
  1: many('inputs', 'string'),
  2: many('outputs', 'string'),
  3: one('name', 'string'),
  4: one('op', 'string'),
  5: many('attributes', AttributeProto),
  6: one('docString', 'string'),
  7: one('domain', 'string'),
  8: one('overload', 'string'),
  9: many('metadata', StringStringEntryProto),
}))

export const AttributeProto = schema('AttributeProto', () => ({
  1: one('name', 'string'),
  2: one('f', 'float'),
  3: one('i', 'int'),
  4: one('s', 'text'),
  5: one('t', TensorProto),
  6: one('g', GraphProto),
  7: manyUnpacked('floats', 'float'),
  8: manyUnpacked('ints', 'int'),
  9: many('strings', 'text'),
  10: many('tensors', TensorProto),
  11: many('graphs', GraphProto),
  20: one('type', 'int'),
  21: one('refAttrName', 'string'),
  22: one('sparseTensor', SparseTensorProto),
  23: many('sparseTensors', SparseTensorProto),
}))

export const TensorProto = schema('TensorProto', () => ({
  1: manyUnpacked('dims', 'int'),
  2: one('dataType', 'int'),
  3: one('segment', 'bytes'),
  4: one('floatData', 'raw-32'),
  5: one('int32Data', 'raw-varint'),
  6: many('stringData', 'bytes'),
  7: one('int64Data', 'raw-varint'),
  8: one('name', 'string'),
  9: one('rawData', 'bytes'),
  10: one('doubleData', 'raw-64'),
  11: one('uint64Data', 'raw-varint'),
  12: one('docString', 'string'),
  13: many('externalData', StringStringEntryProto),
  14: one('dataLocation', 'int'),
  16: many('metadata', StringStringEntryProto),
}))

export const ValueInfoProto = schema('ValueInfoProto', () => ({
  1: one('name', 'string'),
  2: one('type', 'bytes'),
  3: one('docString', 'string'),
  4: many('metadata', StringStringEntryProto),
}))

export const TypeProto = schema('TypeProto', () => ({ 1: one('tensorType', TensorTypeProto) }))

/**
 * The same message, for what it holds where it is an optional. It is no field of TypeProto, by whose table packed files are
 * coded. The element is a TypeProto, left as bytes: types could be within types without end.
 */
export const TypeOfOptionalProto = schema('TypeProto', () => ({ 9: one('optionalType', OptionalTypeProto) }))

export const OptionalTypeProto = schema('TypeProto.Optional', () => ({ 1: one('elemType', 'bytes') }))

export const TensorTypeProto = schema('TypeProto.Tensor', () => ({
  1: one('elemType', 'int'),
  2: one('shape', TensorShapeProto),
}))

export const TensorShapeProto = schema('TensorShapeProto', () => ({ 1: many('dims', DimensionProto) }))

export const DimensionProto = schema('TensorShapeProto.Dimension', () => ({
  1: one('value', 'int'),
  2: one('param', 'string'),
}))

export const FunctionProto = schema('FunctionProto', () => ({
  1: one('name', 'string'),
  4: many('inputs', 'string'),
  5: many('outputs', 'string'),
  6: many('attributes', 'string'),
  7: many('nodes', NodeProto),
  8: one('docString', 'string'),
  9: many('opsets', OperatorSetIdProto),
  10: one('domain', 'string'),
  11: many('attributeDefaults', AttributeProto),
  12: many('valueInfo', ValueInfoProto),
  13: one('overload', 'string'),
  14: many('metadata', StringStringEntryProto),
}))
