/** The types of backward rules: what a rule gets and what it returns. */
import type { Node } from '../../model.ts'
import type { Emitter } from './emit.ts'

/** A node to differentiate. */
export interface At {
  readonly node: Node
  /** Input and output value names. */
  readonly x: readonly string[]
  readonly y: readonly string[]
  /** The gradient of each output; undefined where the loss does not depend on it. */
  readonly dys: readonly (string | undefined)[]
  /** The first output's gradient. (Rules of nodes with one output are only asked when there is one.) */
  readonly dy: string
  /** Whether anyone wants input i's gradient. */
  needs(i: number): boolean
  ints(i: number): number[] | undefined
  /** The same for constant floats. */
  floats(i: number): Float32Array | undefined
}

/** Gives each input's gradient, undefined (or a shorter list) where it has none. */
export type GradRule = (g: Emitter, at: At) => readonly (string | undefined)[]

/** The domain of coppice's own macro-operators. They never reach a runtime: `lowerPlain` or a faster pass expands them. */
export const macroDomain = 'coppice'

/** How the rule tables key an operator. */
export function ruleKey(node: Node): string {
  return node.domain && node.domain !== 'ai.onnx' ? `${node.domain}.${node.op}` : node.op
}
