/**
 * Trained centroids: the weights that share a value go on sharing it, and the value is what learns (Han et al. 2016,
 * arXiv:1510.00149, section 3). While it trains, a weight is its codebook looked up by fixed indices, so that a value's
 * gradient is the sum of its weights' gradients, ∂L/∂c_k = Σ ∂L/∂w_i over the weights i of cluster k. Zero stays zero.
 *
 * With `step` mean the gradient is divided by the size of the cluster: a value then moves about as far as a weight of its own
 * would, whatever the cluster's size. It leaves as equal values in the tensors that the model had.
 */
import { node } from '../../graph/build.ts'
import { editGraph } from '../../graph/edit.ts'
import { weightTensors } from '../../graph/weights.ts'
import type { Model, Node, Tensor } from '../../model.ts'
import { macroDomain } from '../../ops/grad/rule.ts'
import { floats, floatTensor, integerTensor } from '../../tensor/dtype.ts'
import type { Regime } from '../regime.ts'
import { leftAs } from './remade-weights.ts'

export const tieSteps = ['mean', 'sum'] as const

export interface TieOptions {
  /** Weights to tie; default: those that share few values (`sharesValues`). */
  readonly names?: readonly string[]
  /** Whether a value moves by the mean or by the sum of its weights' gradients; default mean. */
  readonly step?: (typeof tieSteps)[number]
}

/** Distinct values beyond which weights are no longer taken to share them on purpose. */
const mostValues = 1024

/** Whether at least four weights come on each distinct value, of at most 1,024. */
export function sharesValues(tensor: Tensor): boolean {
  const values = floats(tensor)
  const seen = new Set<number>()
  for (const v of values) {
    seen.add(v)
    if (seen.size > mostValues || 4 * seen.size > values.length) return false
  }
  return true
}

/** For weights that the model stores as float32. Throws, when it enters, where `names` has none of those. */
export function tie({ names, step = 'mean' }: TieOptions = {}): Regime {
  return {
    id: 'tie',
    digest: { names, step },
    enter(model) {
      const tied = tiedWeights(model, names).map((tensor) => ({ tensor, ...codebookOf(tensor) }))
      if (tied.length === 0) return {}
      const edit = editGraph(model)
      const made = new Map<string, string>()
      const codebooks = new Map<string, string>()
      const lookups = tied.flatMap(({ tensor: { name, dims }, values, indices, sizes }) => {
        const [book, index, weight] = ['values', 'indices', 'tied'].map((what) => edit.fresh(`${name}_${what}`))
        made.set(name, weight)
        codebooks.set(name, book)
        edit.store(floatTensor(book, [values.length], values))
        edit.store(integerTensor(index, 'int32', dims, indices))
        if (step === 'sum') return [node('Gather', [book, index], [weight])]
        // The same values, whose gradients arrive divided by the size of the cluster.
        const [share, scaled, own] = ['shares', 'scaled', 'own'].map((what) => edit.fresh(`${name}_${what}`))
        edit.store(
          floatTensor(
            share,
            [sizes.length],
            sizes.map((n) => 1 / n),
          ),
        )
        return [
          node('Mul', [book, share], [scaled]),
          node('StraightThrough', [scaled, book], [own], {}, { domain: macroDomain }),
          node('Gather', [own, index], [weight]),
        ]
      })
      const reading = (n: Node): Node => ({ ...n, inputs: n.inputs.map((name) => made.get(name) ?? name) })
      const books = new Set(codebooks.values())
      return {
        model: edit.finishWith([...lookups, ...model.graph.nodes.map(reading)]),
        parameters: [...books],
        projections: [
          { mask: ({ name, values }) => (books.has(name) ? values.map((v) => (v === 0 ? 0 : 1)) : undefined) },
        ],
        leave(trained) {
          const indicesOf = new Map(tied.map(({ tensor, indices }) => [tensor.name, indices]))
          return leftAs(model, trained, (name, values) => {
            const indices = indicesOf.get(name)
            if (!indices) return values
            const book = floats(trained.graph.initializers.get(codebooks.get(name) as string) as Tensor)
            return Float32Array.from(indices, (i) => book[i])
          })
        },
      }
    },
  }
}

function tiedWeights(model: Model, names: readonly string[] | undefined): Tensor[] {
  const known = weightTensors(model)
    .filter(
      ({ graph, name, tensor }) => graph === model.graph && tensor.dtype === 'float32' && graph.initializers.has(name),
    )
    .map(({ tensor }) => tensor)
  if (!names) return known.filter(sharesValues)
  return names.map((name) => {
    const found = known.find((t) => t.name === name)
    if (!found)
      throw new Error(`tie: the model has no weight "${name}"; expected ${known.map((t) => t.name).join(', ')}`)
    return found
  })
}

interface Codebook {
  readonly values: Float32Array
  /** The place of each element's value. */
  readonly indices: Int32Array
  /** How many elements each value has. */
  readonly sizes: Float32Array
}

function codebookOf(tensor: Tensor): Codebook {
  const elements = floats(tensor)
  const values = Float32Array.from(new Set(elements)).sort()
  const place = new Map(Array.from(values, (v, i) => [v, i]))
  const indices = Int32Array.from(elements, (v) => place.get(v) as number)
  const sizes = new Float32Array(values.length)
  for (const i of indices) sizes[i]++
  return { values, indices, sizes }
}
