/** Sizes given to open inputs, and taken back. */
import { describe, expect, it } from 'vitest'
import type { Dim } from '../model.ts'
import { model as makeModel, valueInfo } from './build.ts'
import { inputShapesOf, tellInputShapes, withInputShapes } from './input-shapes.ts'

const model = (inputs: Record<string, readonly Dim[] | undefined>) =>
  makeModel({
    nodes: [],
    initializers: new Map(),
    inputs: Object.entries(inputs).map(([name, shape]) => valueInfo(name, 'float32', shape)),
    outputs: [],
  })
const image = model({ x: ['N', 3, 'H', undefined] })
const two = model({ ids: ['batch', 'seq'], mask: ['batch', 'seq'] })
const tell = (m: ReturnType<typeof model>, told: Record<string, readonly Dim[]>) =>
  tellInputShapes(m, new Map(Object.entries(told)), '--input-shape')

describe('shapes that are told', () => {
  it('fill what is open, and go for a symbol wherever it stands', () => {
    expect(tell(image, { '': [1, 3, 320, 240] })).toEqual(new Map([['x', [1, 3, 320, 240]]]))
    expect(tell(image, { x: [undefined, 3, 320, undefined] })).toEqual(new Map([['x', ['N', 3, 320, undefined]]]))
    expect(tell(two, { ids: [4, 16] })).toEqual(
      new Map([
        ['ids', [4, 16]],
        ['mask', [4, 16]],
      ]),
    )
    expect(tell(model({ x: undefined }), { x: [2, 5] })).toEqual(new Map([['x', [2, 5]]]))
  })

  it('go into the model, and out of it again', () => {
    const shaped = withInputShapes(image, tell(image, { x: [1, 3, 8, 8] }))
    expect(shaped.graph.inputs[0].shape).toEqual([1, 3, 8, 8])
    expect(withInputShapes(shaped, inputShapesOf(image))).toEqual(image)
    const unknown = model({ x: undefined })
    expect(withInputShapes(withInputShapes(unknown, tell(unknown, { x: [1] })), inputShapesOf(unknown))).toEqual(
      unknown,
    )
  })

  it.each<[message: string, m: ReturnType<typeof model>, told: Record<string, readonly Dim[]>]>([
    ['--input-shape: 3 sizes for the input "x" [N,3,H,?]; expected 4', image, { x: [1, 3, 8] }],
    ['size 2 of the input "x" [N,3,H,?] is 3 in the model; expected that, not 4', image, { x: [1, 4, 8, 8] }],
    ['the model has no input "idz"; did you mean "ids"?; expected one of "ids", "mask"', two, { idz: [1, 2] }],
    ['the model has 2 inputs ("ids", "mask"); expected name=shape', two, { '': [1, 2] }],
    ['"seq" is 16 and 8; expected one size wherever the model has "seq"', two, { ids: [1, 16], mask: [1, 8] }],
  ])('are refused in one sentence: %s', (message, m, told) => {
    expect(() => tell(m, told)).toThrow(message)
  })
})
