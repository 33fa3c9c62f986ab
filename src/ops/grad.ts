/**
 * How operators are differentiated: one table, a row per operator, merged from its families.
 *
 * Rules emit standard ONNX nodes and a few macros (domain `coppice`) for what machines compute in different ways.
 * Operators of `flatOperators` are constant almost everywhere, or give no numbers: nothing flows through them.
 */
import type { Node } from '../model.ts'
import { compositions } from './grad/composite.ts'
import { convRules } from './grad/conv.ts'
import { einsumRules } from './grad/einsum.ts'
import { elementwiseRules } from './grad/elementwise.ts'
import { fakeQuantizeRules } from './grad/fake-quantize.ts'
import { layoutRules } from './grad/layout.ts'
import { matmulRules } from './grad/matmul.ts'
import { normRules } from './grad/norm.ts'
import { poolRules } from './grad/pool.ts'
import { quantizeRules } from './grad/quantize.ts'
import { recurrentRules } from './grad/recurrent.ts'
import { reduceRules } from './grad/reduce.ts'
import { type GradRule, ruleKey } from './grad/rule.ts'

export const gradRules: Readonly<Record<string, GradRule>> = {
  ...elementwiseRules,
  ...reduceRules,
  ...matmulRules,
  ...convRules,
  ...poolRules,
  ...normRules,
  ...layoutRules,
  ...quantizeRules,
  ...fakeQuantizeRules,
  ...einsumRules,
  ...recurrentRules,
}

/** Whether a node passes gradients on to its inputs: by a rule, or written out in operators that have rules. */
export function isDifferentiable(node: Node): boolean {
  const key = ruleKey(node)
  return Object.hasOwn(gradRules, key) || Object.hasOwn(compositions, key)
}

export const flatOperators: ReadonlySet<string> = new Set([
  'And',
  'ArgMax',
  'ArgMin',
  'Ceil',
  'ConstantOfShape',
  'Equal',
  'Floor',
  'Greater',
  'GreaterOrEqual',
  'IsInf',
  'IsNaN',
  'Less',
  'LessOrEqual',
  'NonMaxSuppression',
  'NonZero',
  'Not',
  'OneHot',
  'Or',
  'Range',
  'Round',
  'Shape',
  'Sign',
  'Size',
  'Xor',
])
