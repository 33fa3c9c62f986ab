/** Shape rules of ai.onnx.ml: trees, linear models, support vectors and what prepares their inputs. Source: onnx/docs/Operators-ml.md. */
import { intAttribute, intsAttribute } from '../../graph/walk.ts'
import type { Dim, Node } from '../../model.ts'
import type { DataType } from '../../tensor/dtype.ts'
import { multiply, type Rule, typed } from './known.ts'

function lengthOf(node: Node, ...names: string[]): number | undefined {
  for (const name of names) {
    const a = node.attributes[name]
    if (a && 'value' in a && Array.isArray(a.value) && a.value.length > 0) return a.value.length
  }
  return undefined
}

/** A row for each sample; a lone sample may come without its axis. */
function samplesOf(shape: readonly Dim[] | undefined): Dim {
  return shape && (shape.length > 1 ? shape[0] : 1)
}

/** The label, and a score for each class. */
const classifier =
  (scoresEach = true): Rule =>
  (call) => {
    const { node } = call
    const samples = samplesOf(call.in(0).shape)
    const names = ['classlabels_strings', 'classlabels_ints', 'classlabels_int64s']
    const classes = scoresEach ? lengthOf(node, ...names) : undefined
    const dtype: DataType = lengthOf(node, 'classlabels_strings') ? 'string' : 'int64'
    return [
      { dtype, shape: [samples] },
      { dtype: 'float32', shape: [samples, classes] },
    ]
  }

const regressor =
  (targets: string | undefined): Rule =>
  (call) => [
    {
      dtype: 'float32',
      shape: [samplesOf(call.in(0).shape), targets ? intAttribute(call.node, targets, 1) : 1],
    },
  ]

const asFloat: Rule = (call) => [{ dtype: 'float32', shape: call.in(0).shape }]

const labelEncoder: Rule = (call) => {
  const a = call.node.attributes
  const tensor = a.values_tensor?.type === 'tensor' ? a.values_tensor.value.dtype : undefined
  const listed = a.values_strings ? 'string' : a.values_int64s ? 'int64' : a.values_floats ? 'float32' : undefined
  // In version 1 a list of classes turned strings into their numbers and numbers into strings.
  const other = a.classes_strings ? (call.in(0).dtype === 'string' ? 'int64' : 'string') : undefined
  return [{ dtype: tensor ?? listed ?? other, shape: call.in(0).shape }]
}

const categoryMapper: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  return [{ dtype: dtype && (dtype === 'string' ? 'int64' : 'string'), shape }]
}

/** Columns by their numbers; a vector counts as one row. */
const extractor: Rule = (call) => {
  const [x, columns] = [call.in(0).shape, call.in(1).shape]
  const count = columns && multiply(columns)
  return [typed(call, x && (x.length === 1 ? [1, count] : [...x.slice(0, -1), count]))]
}

const featureVectorizer: Rule = (call) => {
  const sizes = intsAttribute(call.node, 'inputdimensions')
  return [{ dtype: 'float32', shape: [samplesOf(call.in(0).shape), sizes?.reduce((a, b) => a + b, 0)] }]
}

const oneHotEncoder: Rule = (call) => {
  const { shape } = call.in(0)
  return [{ dtype: 'float32', shape: shape && [...shape, lengthOf(call.node, 'cats_int64s', 'cats_strings')] }]
}

/** Trees as tensors, of any float type. */
const treeEnsemble: Rule = (call) => [
  typed(call, [samplesOf(call.in(0).shape), intAttribute(call.node, 'n_targets', 1)]),
]

/** A map for each sample, which is no tensor. */
const maps: Rule = () => [{}]

const rowOfUnknown: Rule = () => [{ shape: [1, undefined] }]

export const learners: Record<string, Rule> = Object.fromEntries(
  Object.entries<Rule>({
    ArrayFeatureExtractor: extractor,
    Binarizer: (call) => [typed(call, call.in(0).shape)],
    CastMap: rowOfUnknown,
    CategoryMapper: categoryMapper,
    DictVectorizer: rowOfUnknown,
    FeatureVectorizer: featureVectorizer,
    Imputer: (call) => [typed(call, call.in(0).shape)],
    LabelEncoder: labelEncoder,
    LinearClassifier: classifier(),
    LinearRegressor: regressor('targets'),
    Normalizer: asFloat,
    OneHotEncoder: oneHotEncoder,
    SVMClassifier: classifier(false),
    SVMRegressor: regressor(undefined),
    Scaler: asFloat,
    TreeEnsemble: treeEnsemble,
    TreeEnsembleClassifier: classifier(),
    TreeEnsembleRegressor: regressor('n_targets'),
    ZipMap: maps,
  }).map(([op, rule]) => [`ai.onnx.ml.${op}`, rule]),
)
