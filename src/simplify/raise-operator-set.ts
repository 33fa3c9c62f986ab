/** Rewrites nodes as a newer operator set has them (upgrade.ts), for files of sets that other methods do not know. */

import { defineMethod } from '../method.ts'
import { upgradeOpset, upgradeTargets } from './upgrade.ts'

export const raiseOperatorSet = defineMethod({
  id: 'raise-operator-set',
  help: 'rewrites a model of an older ONNX operator set for a newer one; outputs stay the same',
  options: {
    least: {
      type: 'number',
      default: upgradeTargets.oldest,
      min: upgradeTargets.oldest,
      max: upgradeTargets.newest,
      integer: true,
      help: 'the operator set that older models are raised to',
    },
  },
  run: (model, { least }) => upgradeOpset(model, least),
})
