/** `upgradeOpset` as a method, for files of operator sets that are older than the other methods know. */

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
