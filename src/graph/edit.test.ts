/** Edits of a graph: fresh names, dropped leftovers, and the record of where tensors came from. */
import { describe, expect, it } from 'vitest'
import { methods } from '../methods.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { exampleModel } from '../testing/test-method.ts'
import { node } from './build.ts'
import { editGraph, namesSince } from './edit.ts'

describe('editGraph', () => {
  it('gives back the model itself where nothing changed', () => {
    const model = exampleModel()
    expect(editGraph(model).finish()).toBe(model)
  })

  it('replaces nodes, stores tensors under names that nothing has, and leaves out what nothing reads', () => {
    const model = { ...exampleModel(), irVersion: 3 }
    const edit = editGraph(model)
    const dense = model.graph.nodes.find((n) => n.name === 'dense')!
    const name = edit.store(floatTensor(edit.fresh('w3'), [5, 8], new Float32Array(40).fill(1)), 'w3')
    edit.replace(dense, [node('Gemm', [dense.inputs[0], name], ['z'], { transB: 1 }), node('Relu', ['z'], ['y'])])
    const edited = edit.finish()
    expect(name).toBe('w3_1')
    expect(edit.fresh('w3')).toBe('w3_2')
    expect(edited.graph.nodes.map((n) => n.op).slice(-2)).toEqual(['Gemm', 'Relu'])
    expect([...edited.graph.initializers.keys()]).not.toContain('w3')
    expect([...edited.graph.initializers.keys()]).not.toContain('b3')
    // Before version 4 every initialiser had to be an input.
    expect(edited.irVersion).toBe(4)
    expect(model.graph.initializers.has('w3')).toBe(true)
  })

  it('changes a node that was changed before', () => {
    const model = exampleModel()
    const edit = editGraph(model)
    const [first] = model.graph.nodes
    edit.change(first, (now) => ({ ...now, name: `${now.name}!` }))
    edit.change(first, (now) => ({ ...now, name: `${now.name}!` }))
    expect(edit.finish().graph.nodes[0].name).toBe('first!!')
  })
})

it('tells through several methods what a stored tensor was made from, whatever it is called', async () => {
  const folded = await methods.get('fold-batch-norm')!(exampleModel())
  const rounded = await methods.get('uniform')!(folded, { minElements: 16 })
  const stored = await methods.get('compact')!(rounded, { minElements: 16 })
  const made = [...stored.graph.initializers.keys()].map((name) => namesSince(stored, name))
  expect(made).toContainEqual(['w1_folded_q', 'w1_folded', 'w1'])
  expect(made).toContainEqual(['w3_q', 'w3'])
  expect(made).toContainEqual(['b2'])
  // Files do not have it.
  expect(readModel(writeModel(stored)).origins).toBeUndefined()
})
