/** `removeUnused` (fold.ts) as a method. */

import { defineMethod } from '../method.ts'
import { removeUnused as remove } from './fold.ts'

export const removeUnused = defineMethod({
  id: 'remove-unused',
  help: 'removes nodes and weights that no output needs, and weights from the list of inputs',
  options: {},
  run: remove,
})
