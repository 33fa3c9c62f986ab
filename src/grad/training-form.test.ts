/** A loss on logits reads logits wherever a network ends in a Softmax, whatever else reads that or reshapes it. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import { finalSoftmax } from '../graph/final-softmax.ts'
import type { Model } from '../model.ts'
import { integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { stepGradients } from '../testing/step-gradients.ts'
import { plainEngine } from './engine.ts'

const [batch, classes] = [4, 5]

type Builder = ReturnType<typeof netBuilder> & { ints(values: readonly number[]): string }

/** A pointwise convolution gives scores [N, 5, 1, 1]; `end` makes outputs of them. */
function scorer(end: (b: Builder, scores: string) => string | readonly string[], side = 1, opset?: number): Model {
  const b = netBuilder(3)
  const ints = (values: readonly number[]): string => {
    const name = `ints_${b.initializers.size}`
    b.initializers.set(name, integerTensor(name, 'int64', [values.length], values))
    return name
  }
  const scores = b.op('Conv', ['x', b.weight('w', [classes, 3, 1, 1]), b.weight('b', [classes], 1)])
  const outputs = [end({ ...b, ints }, scores)].flat()
  return makeModel(
    {
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', [batch, 3, side, side])],
      outputs: outputs.map((name, i) => valueInfo(name, i > 0 ? 'int64' : 'float32')),
    },
    opset,
  )
}

async function step(model: Model) {
  const dims = model.graph.inputs[0].shape as number[]
  const rng = random(2)
  const x = { dtype: 'float32', dims, data: Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()) } as const
  const target = (shape: readonly number[]): Float32Array => {
    expect(shape[shape.length - 1]).toBe(classes)
    return Float32Array.from({ length: sizeOf(shape) }, (_, i) => (i % classes === (i * 7) % 3 ? 1 : 0))
  }
  return stepGradients(model, { engine: plainEngine, loss: 'cross-entropy', inputs: { x }, target })
}

const flat = (b: Builder, x: string): string => b.op('Flatten', [x])
const softmax = (b: Builder, x: string, axis = -1): string => b.op('Softmax', [x], { axis })

describe('the cross-entropy reads logits', () => {
  const ends: Readonly<Record<string, (b: Builder, scores: string) => string | readonly string[]>> = {
    'of a Softmax': (b, x) => softmax(b, flat(b, x)),
    'of a Softmax over axis 1 of 2': (b, x) => softmax(b, flat(b, x), 1),
    'of a Softmax that ArgMax reads too': (b, x) => {
      const y = softmax(b, flat(b, x))
      return [y, b.op('ArgMax', [y], { axis: -1 })]
    },
    'before Identity': (b, x) => b.op('Identity', [softmax(b, flat(b, x))]),
    'before Reshape': (b, x) => b.op('Reshape', [softmax(b, flat(b, x)), b.ints([-1, classes])]),
    'before Unsqueeze and Squeeze': (b, x) => {
      const wide = b.op('Unsqueeze', [softmax(b, flat(b, x)), b.ints([2])])
      return b.op('Squeeze', [wide, b.ints([2])])
    },
    'of a Softmax over channels, before Flatten': (b, x) => flat(b, softmax(b, x, 1)),
    'of a Softmax over channels, before Squeeze': (b, x) => b.op('Squeeze', [softmax(b, x, -3), b.ints([2, 3])]),
    'of a Softmax over channels': (b, x) => softmax(b, x, 1),
  }
  for (const [name, end] of Object.entries(ends)) {
    it(name, async () => {
      const [expected, found] = [await step(scorer(flat)), await step(scorer(end))]
      expect(found.loss).toBeCloseTo(expected.loss, 5)
      for (const [parameter, values] of expected.gradients) {
        values.forEach((v, i) => {
          expect(found.gradients.get(parameter)?.[i]).toBeCloseTo(v, 5)
        })
      }
      const model = scorer(end)
      expect(finalSoftmax(model.graph, model.graph.outputs[0].name)?.op).toBe('Softmax')
    })
  }
})

it('classes that are not the last axis are told, not mistaken', async () => {
  const net = scorer((b, x) => softmax(b, x, 1), 2)
  await expect(step(net)).rejects.toThrow(/Softmax "v1": its classes lie along axis 1; expected them along the last/)
})

it('a network that ends in scores has no final Softmax, an inner one is none', () => {
  const net = scorer((b, x) => b.op('Add', [softmax(b, flat(b, x)), flat(b, x)]))
  expect(finalSoftmax(net.graph, net.graph.outputs[0].name)).toBeUndefined()
})
