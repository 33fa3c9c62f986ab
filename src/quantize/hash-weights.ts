/**
 * Hashed weights: a random hash says which of a few stored numbers (buckets) each weight has, and with which sign, so that
 * neither indices nor weights are stored. Chen et al. 2015, arXiv:1504.04788 (HashedNets).
 *
 * Nodes of the graph compute the hash; runtimes run them once, when they load the model. Only the buckets are stored.
 * Element i has bucket h(i) mod K with the sign of h(i) mod 2K below K or not, with the polynomial
 * h(i) = (a·(i² mod p) + b·i + c) mod p, p = 2^31 - 1, a, b and c drawn by the seed (3-wise independent: Wegman, Carter 1981).
 *
 * A bucket begins as the mean of its weights. That alone costs most of the accuracy: `finetune` trains the buckets.
 */
import { node } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { type Node, opsetOf, type Tensor } from '../model.ts'
import { since } from '../ops/operator-sets.ts'
import { computeConstants, type Form } from '../simplify/compute-constants.ts'
import { upgradeOpset } from '../simplify/upgrade.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'

export const hashWeights = defineMethod({
  id: 'hash-weights',
  help: 'lets weights share buckets by a hash that the graph computes, so that only the buckets are stored; outputs change',
  options: {
    share: { type: 'number', default: 0.125, min: 1e-6, max: 1, help: 'buckets per weight' },
    minElements: {
      type: 'number',
      default: 1024,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements are left alone',
    },
    exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
  },
  run(given, { share, minElements, exclude }, { seed = 0, warn }) {
    const model = opsetOf(given) < since.range ? upgradeOpset(given, since.range) : given
    const rng = random(seed)
    const forms = new Map<Tensor, Form>()
    for (const { name, tensor } of weightTensors(model)) {
      const size = sizeOf(tensor.dims)
      if (exclude.includes(name) || size < minElements || tensor.dtype !== 'float32') continue
      if (floats(tensor).every(Number.isFinite)) forms.set(tensor, hashed(tensor, Math.ceil(share * size), rng))
      else warn?.(`hash-weights: "${name}" is not finite throughout; left as it is`)
    }
    return computeConstants(model, forms)
  },
})

/** 2^31 - 1, a prime: products of two remainders, and the sum of two such, stay below 2^63. */
const prime = 2147483647n

interface Hash {
  readonly a: bigint
  readonly b: bigint
  readonly c: bigint
}

const drawHash = (rng: Random): Hash => {
  const below = (n: bigint): bigint => BigInt(Math.floor(rng.next() * Number(n)))
  return { a: 1n + below(prime - 1n), b: below(prime), c: below(prime) }
}

/** The place of each element in a list of the buckets and, behind them, their negatives. */
function placesOf(size: number, buckets: number, { a, b, c }: Hash): Uint32Array {
  const count = 2n * BigInt(buckets)
  return Uint32Array.from({ length: size }, (_, n) => {
    const i = BigInt(n)
    return Number(((((i * i) % prime) * a + i * b + c) % prime) % count)
  })
}

function hashed(tensor: Tensor, count: number, rng: Random): Form {
  const hash = drawHash(rng)
  const weights = floats(tensor)
  const places = placesOf(weights.length, count, hash)
  const [sums, counts] = [new Float64Array(count), new Uint32Array(count)]
  places.forEach((place, i) => {
    sums[place % count] += place < count ? weights[i] : -weights[i]
    counts[place % count]++
  })
  const buckets = Float32Array.from(sums, (sum, k) => sum / (counts[k] || 1))
  return (name, fresh) => {
    const tensors: Tensor[] = [floatTensor(fresh(`${name}_buckets`), [count], buckets)]
    const nodes: Node[] = []
    const whole = (value: number | bigint): string => {
      const stored = integerTensor(fresh(`${name}_h`), 'int64', [], [Number(value)])
      tensors.push(stored)
      return stored.name
    }
    const value = (op: string, inputs: string[], attributes = {}, output = fresh(`${name}_h`)): string => {
      nodes.push(node(op, inputs, [output], attributes))
      return output
    }
    const p = whole(prime)
    const i = value('Range', [whole(0), whole(weights.length), whole(1)])
    const square = value('Mod', [value('Mul', [i, i]), p])
    const sum = value('Add', [value('Mul', [square, whole(hash.a)]), value('Mul', [i, whole(hash.b)])])
    const h = value('Mod', [value('Mod', [value('Add', [sum, whole(hash.c)]), p]), whole(2 * count)])
    const both = value('Concat', [tensors[0].name, value('Neg', [tensors[0].name])], { axis: 0 })
    const shape = integerTensor(fresh(`${name}_shape`), 'int64', [tensor.dims.length], tensor.dims)
    tensors.push(shape)
    value('Reshape', [value('Gather', [both, h]), shape.name], {}, name)
    return { tensors, nodes }
  }
}
