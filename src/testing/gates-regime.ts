/**
 * A made-up regime that uses every part of the seam, for tests: random gates on a layer's input units (an L0 gate without
 * its stretch), a running mean of the gates, a count of steps kept by a projection, and a teacher.
 */

import { node, valueInfo } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { type Model, withGraph } from '../model.ts'
import { mul, reduce, sub } from '../ops/grad/emit.ts'
import { openSession } from '../runtime/session.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import type { Regime } from '../train/regime.ts'

export interface GatesOptions {
  /** A weight of two axes whose second is the layer's inputs. */
  readonly weight: string
  readonly teacher: Model
  readonly strength?: number
  readonly mainLoss?: number
}

/** Gates z = sigmoid(alpha + noise), one per input unit; they leave as factors of the weight. */
export function gates({ weight, teacher, strength = 0.1, mainLoss = 1 }: GatesOptions): Regime {
  return {
    id: 'gates',
    digest: { weight, strength },
    mainLoss,
    async enter(model) {
      const edit = editGraph(model)
      const [alpha, noise, sum, z, gated] = ['alpha', 'noise', 'sum', 'z', 'gated'].map(edit.fresh)
      const units = (model.graph.initializers.get(weight)?.dims ?? [])[1]
      edit.store(floatTensor(alpha, [units], new Float32Array(units).fill(2)))
      const gate = [node('Add', [alpha, noise], [sum]), node('Sigmoid', [sum], [z]), node('Mul', [weight, z], [gated])]
      const nodes = model.graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map((i) => (i === weight ? gated : i)) }))
      const inputs = [...model.graph.inputs, valueInfo(noise, 'float32', [units])]
      const session = await openSession(teacher, { threads: 1 })
      const [output] = teacher.graph.outputs
      return {
        model: withGraph(edit.finishWith([...gate, ...nodes]), { inputs }),
        parameters: [alpha],
        noise: [
          {
            input: noise,
            shape: [units],
            draw(values, rng) {
              for (let i = 0; i < values.length; i++) values[i] = rng.normal()
            },
          },
        ],
        state: {
          mean: {
            shape: [units],
            values: new Float32Array(units),
            // The running mean of the gates: 0.9 · mean + 0.1 · z.
            next: (g, scope) =>
              g.op('Add', [mul(g, scope.state('mean'), g.constant(0.9)), mul(g, scope.value(z), g.constant(0.1))]),
          },
          steps: { shape: [1], values: new Float32Array(1) },
        },
        terms: [
          {
            emit(g, { output, value, fed }) {
              const apart = sub(g, output, fed('teacher', g.shape(output)))
              const matching = reduce(g, 'ReduceMean', mul(g, apart, apart))
              return g.op('Add', [matching, mul(g, reduce(g, 'ReduceMean', value(z)), g.constant(strength))])
            },
            feeds: async ({ inputs }) => ({ teacher: (await session.run(inputs, [output.name]))[output.name] }),
          },
        ],
        projections: [
          {
            every: 2,
            apply: ({ state, weights }) => ({
              state: new Map([['steps', state.get('steps')!.map((v) => v + 2)]]),
              weights: new Map([[alpha, weights.get(alpha)!.map((v) => Math.min(v, 3))]]),
            }),
          },
        ],
        leave(trained, state) {
          const means = state.get('mean')!
          const values = floats(trained.graph.initializers.get(weight)!).map((v, i) => v * means[i % units])
          const dims = trained.graph.initializers.get(weight)!.dims
          const initializers = new Map(trained.graph.initializers).set(weight, floatTensor(weight, dims, values))
          initializers.delete(alpha)
          const made = new Set([sum, z, gated])
          return withGraph(trained, {
            initializers,
            inputs: trained.graph.inputs.filter((i) => i.name !== noise),
            nodes: trained.graph.nodes
              .filter((n) => !made.has(n.outputs[0]))
              .map((n) => ({ ...n, inputs: n.inputs.map((i) => (i === gated ? weight : i)) })),
          })
        },
        release: () => session.release(),
      }
    },
  }
}
