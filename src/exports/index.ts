/** `coppice`: models in and out, methods, recipes, compressing and packing. Everything else is under its own path. */
export { compress } from '../compress/compress.ts'
export { compressTable } from '../compress/options.ts'
export type { Compressed } from '../compress/result.ts'
export { type RecipeContext, runRecipe } from '../compress/run-recipe.ts'
export type { CompressOptions } from '../compress/settings.ts'
export { AbortError, UnsupportedError } from '../errors.ts'
export { type PackOptions, packModel } from '../formats/pack.ts'
export { unpackModel } from '../formats/unpack.ts'
export { type InputShapes, inputShapesOf, withInputShapes } from '../graph/input-shapes.ts'
export { type ShapeFlags, shapedModel, shapeOption } from '../graph/told-shapes.ts'
export { type Inspection, inspectModel, type LayerInfo } from '../inspect/inspect.ts'
export {
  type Context,
  defineMethod,
  type Feeds,
  type LabelledFeeds,
  type Method,
  type MethodSpec,
  type Value,
} from '../method.ts'
export { methodNamed, methods } from '../methods.ts'
export type { Attribute, Graph, Model, Node, Tensor, ValueInfo } from '../model.ts'
export { type ExternalSource, readModel } from '../onnx/read.ts'
export { printModel } from '../onnx/text.ts'
export { writeModel } from '../onnx/write.ts'
export {
  checkOptions,
  expectedText,
  type OptionDef,
  type OptionsOf,
  type OptionTable,
  readOption,
} from '../options.ts'
export { Pace, type Reached } from '../progress.ts'
export { parseRecipe, type Recipe, runSteps, type Step } from '../recipe.ts'
export type { Report } from '../report/report.ts'
export { openSession, type Session, type SessionOptions } from '../runtime/session.ts'
export { describeTask, type OutputTask, type Task } from '../task/task.ts'
export { train } from '../train/train.ts'
export type { Trained, TrainOptions } from '../train/train-options.ts'
