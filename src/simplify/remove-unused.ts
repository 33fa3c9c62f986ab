/** Nodes and stored tensors that no output needs are removed, and Identity nodes (`removeUnused` of fold.ts). */

import { defineMethod } from '../method.ts'
import { removeUnused as remove } from './fold.ts'

export const removeUnused = defineMethod({
  id: 'remove-unused',
  help: 'removes nodes and weights that no output needs, and weights from the list of inputs',
  options: {},
  run: remove,
})
