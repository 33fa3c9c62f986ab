/**
 * Where a result goes that is written for transformers.js: into the folder of a model, under the name by which its loader
 * finds each form (`dtype`): onnx/model.onnx, onnx/model_fp16.onnx, onnx/model_quantized.onnx (q8), onnx/model_q4.onnx, ...
 * Source: src/utils/dtypes.js of @huggingface/transformers 4.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { graphsOf, tensorsOf } from '../graph/walk.ts'
import type { Model } from '../model.ts'
import { saveModel } from '../node/files.ts'
import type { OptionTable } from '../options.ts'
import { integerNode } from '../quantize/int8.ts'
import { checkOutputs } from './outputs.ts'

export const layoutOption = {
  for: {
    type: 'choice',
    of: ['transformers.js'],
    optional: true,
    value: 'library',
    help: 'write for this library: -o is then the folder of the model, and the file gets the name that transformers.js looks for, such as onnx/model_quantized.onnx',
  },
} as const satisfies OptionTable

export interface LayoutFlags {
  readonly output: string
  readonly for?: string
}

/** The files that the command checks before it begins: with a layout, any of those that it may write. */
export function plannedOutputs(input: string, { output, for: layout }: LayoutFlags): string[] {
  if (layout === undefined) return [output]
  // Folders are made when there is something to write: the one that they will lie in must take it.
  let folder = join(output, 'onnx')
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  checkOutputs([input], [join(folder, '.model.onnx')])
  return []
}

/** Saves the result under its name or in the library's layout; gives the files written. */
export async function saveFor(model: Model, input: string, { output, for: layout }: LayoutFlags): Promise<string[]> {
  if (layout === undefined) return saveModel(output, model)
  const path = join(output, 'onnx', `${stemOf(input)}${formOf(model)}.onnx`)
  mkdirSync(dirname(path), { recursive: true })
  checkOutputs([input], [path])
  return saveModel(path, model, { dataEnding: '_data' })
}

/** A part of a model, such as decoder_model_merged, keeps its name where it lies in such a folder; anything else is the model. */
function stemOf(input: string): string {
  const inLayout = basename(dirname(input)) === 'onnx'
  return inLayout ? basename(input).replace(/\.(onnx|cop)$/, '') : 'model'
}

/** How the file of a model ends, by what it holds. */
function formOf(model: Model): string {
  const tensors = [...tensorsOf(model)].map(({ tensor }) => tensor)
  if (tensors.some((t) => t.dtype === 'bfloat16'))
    throw new Error('for transformers.js: the model holds bfloat16 weights, of which it has no form; expected float16')
  const isHalf = tensors.some((t) => t.dtype === 'float16')
  const blocks = [...graphsOf(model)].flatMap((g) => g.nodes).filter((n) => /^(MatMulNBits|GatherBlockQ)/.test(n.op))
  if (blocks.length > 0) return isHalf ? '_q4f16' : '_q4'
  if (integerNode(model)) return '_quantized'
  return isHalf ? '_fp16' : ''
}
