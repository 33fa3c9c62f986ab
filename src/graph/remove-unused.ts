/**
 * Leaves out what no output needs, and takes weights off the list of inputs: older files list every initialiser there as a
 * default that a caller may override, which keeps runtimes from folding and rearranging it.
 */
import { defineMethod } from '../method.ts'
import { dropUnused } from './drop-unused.ts'

export const removeUnused = defineMethod({
  id: 'remove-unused',
  help: 'leaves out nodes and weights that no output needs, and takes weights off the list of inputs',
  options: {},
  run(model) {
    const graph = dropUnused(model.graph)
    const inputs = graph.inputs.filter((i) => !graph.initializers.has(i.name))
    // Before IR version 4 every initialiser had to be an input.
    return { ...model, irVersion: Math.max(4, model.irVersion), graph: { ...graph, inputs } }
  },
})
