/** `removeUnused` (fold.ts) as a method. */

import { defineMethod } from '../method.ts'
import { removeUnused as remove } from './fold.ts'

export const removeUnused = defineMethod({
  id: 'remove-unused',
  help: 'leaves out nodes and weights that no output needs, and takes weights off the list of inputs',
  options: {},
  run: remove,
})
