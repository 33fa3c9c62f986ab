/** Values that constants alone decide. */
import type { Node, SparseTensor, Tensor } from '../model.ts'
import type { Known } from '../ops/shape/known.ts'

/** A value that constants alone decide: the node that computes it, or the stored tensor. */
export interface Constant {
  readonly tensor?: Tensor
  readonly sparse?: SparseTensor
  readonly node?: Node
  /** What the node reads; undefined for an input that is left out. */
  readonly from: readonly (Constant | undefined)[]
  readonly known: Known
}

const rearrangers = new Set(['Identity', 'Cast', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Flatten'])

/** Whether a node gives the numbers of its first input, all of them, perhaps in another order. */
export const rearranges = ({ op }: Node): boolean => rearrangers.has(op)
