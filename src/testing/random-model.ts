/**
 * Random models that use every part of the format: all element types and attribute types, nested graphs, local functions,
 * opaque types, sparse tensors, metadata, odd names, unknown fields. They need not make sense as networks.
 */
import type {
  Attribute,
  Dim,
  FunctionDef,
  Graph,
  Model,
  Node,
  SparseTensor,
  StringEntry,
  Tensor,
  TrainingInfo,
  ValueInfo,
} from '../model.ts'
import { byteLengthOf, type DataType, dataTypes, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'

export interface RandomModelOptions {
  /** Fields that no schema names; default true. */
  readonly unknown?: boolean
}

/** The same seed gives the same model. */
export function randomModel(seed: number, options: RandomModelOptions = {}): Model {
  const make = maker(random(seed), options.unknown ?? true)
  return {
    irVersion: 3 + make.below(9),
    opsets: [
      { domain: '', version: 7 + make.below(19), ...make.extra() },
      ...make.some(() => ({ domain: make.name(), version: make.below(9) + 1 })),
    ],
    ...(make.flip() ? { producerName: make.name(), producerVersion: make.name() } : {}),
    ...(make.flip() ? { domain: make.name(), modelVersion: make.int(), docString: make.name() } : {}),
    graph: make.graph(2),
    ...(make.flip() ? { metadata: [{ key: make.name(), value: make.name(), ...make.extra() }] } : {}),
    ...(make.flip() ? { functions: [make.fn()] } : {}),
    ...(make.below(8) === 0 ? { training: [make.training()] } : {}),
    ...make.extra(),
  }
}

/** Every element type's name. */
export const allTypes = Object.keys(dataTypes) as DataType[]

function maker(rng: Random, withUnknown: boolean) {
  const below = (n: number): number => rng.below(n)
  const flip = (): boolean => rng.next() < 0.5
  const some = <T>(item: () => T, most = 3): T[] => Array.from({ length: below(most + 1) }, item)
  const letters = ['a', 'Z', '9', '/', ':', ' ', '"', 'é', '模', '\n', '.', '_', '-', '😀']
  const name = (): string => Array.from({ length: 1 + below(6) }, () => letters[below(letters.length)]).join('')
  const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => below(256))
  const int = (): number | bigint => {
    const kinds = [below(100), -below(100) - 1, 2 ** 40 + below(99), 2n ** 63n - 1n, -(2n ** 63n), 2n ** 60n + 1n]
    return kinds[below(kinds.length)]
  }
  const float = (): number =>
    Math.fround(flip() ? rng.normal() : [0, -0, 1, 1e-7, 3e38, Number.POSITIVE_INFINITY][below(6)])
  const notText = (): Uint8Array => Uint8Array.of(0xff, ...bytes(below(4)))
  const text = (): string | Uint8Array => (flip() ? name() : notText())
  /** Field 1000, a varint or bytes: no message has it. */
  const extra = (): { unknown?: Uint8Array } => {
    if (!withUnknown || rng.next() < 0.6) return {}
    return { unknown: flip() ? Uint8Array.of(0xc0, 0x3e, 1 + below(100)) : Uint8Array.of(0xc2, 0x3e, 2, ...bytes(2)) }
  }

  const entries = (): StringEntry[] => some(() => ({ key: name(), value: name(), ...extra() }), 2)
  const metadata = (): { metadata?: StringEntry[] } => {
    const metadata = below(4) === 0 ? entries() : []
    return metadata.length > 0 ? { metadata } : {}
  }

  const tensor = (dtype: DataType = allTypes[below(allTypes.length)]): Tensor => {
    const dims = some(() => below(4))
    const size = sizeOf(dims)
    const kept = { name: name(), dtype, dims, ...(flip() ? { docString: name() } : {}), ...metadata(), ...extra() }
    if (dtype === 'string')
      return { ...kept, data: new Uint8Array(0), strings: Array.from({ length: size }, () => bytes(below(4))) }
    if (dtype === 'bool') return { ...kept, data: Uint8Array.from({ length: size }, () => below(2)) }
    return { ...kept, data: bytes(byteLengthOf(dtype, size)) }
  }

  /** As sparse tensors are, but for the sizes of their parts. */
  const sparse = (): SparseTensor => ({
    values: tensor(),
    indices: tensor('int64'),
    dims: some(() => below(5)),
    ...extra(),
  })

  const dim = (): Dim => [below(1000), name(), undefined][below(3)]
  const valueInfo = (): ValueInfo => {
    const doc = { ...(flip() ? { docString: name() } : {}), ...metadata() }
    const kind = below(4)
    if (kind === 0) return { name: name(), ...doc, ...extra() }
    // sequence_type { elem_type { tensor_type { elem_type: FLOAT } } }
    if (kind === 1) return { name: name(), opaqueType: Uint8Array.of(0x22, 6, 0x0a, 4, 0x0a, 2, 0x08, 1), ...doc }
    return {
      name: name(),
      dtype: allTypes[below(allTypes.length)],
      ...(flip() ? { shape: some(dim) } : {}),
      ...doc,
      ...extra(),
    }
  }

  const attributeValue = (depth: number): Attribute => {
    const kinds: (() => Attribute)[] = [
      () => ({ type: 'float', value: float() }),
      () => ({ type: 'int', value: int() }),
      () => ({ type: 'string', value: text() }),
      () => ({ type: 'tensor', value: tensor() }),
      () => ({ type: 'floats', value: some(float) }),
      () => ({ type: 'ints', value: some(int) }),
      () => ({ type: 'strings', value: some(text) }),
      () => ({ type: 'tensors', value: some(tensor.bind(undefined, undefined)) }),
      () => ({ type: 'sparse-tensor', value: sparse() }),
      () => ({ type: 'sparse-tensors', value: some(sparse, 2) }),
      () => ({ type: 'reference', value: name(), attributeType: 1 + below(10) }),
      () => ({ type: 'graph', value: graph(depth - 1) }),
      () => ({ type: 'graphs', value: some(() => graph(depth - 1), 2) }),
    ]
    return kinds[below(depth > 0 ? kinds.length : kinds.length - 2)]()
  }
  const attribute = (depth: number): Attribute => ({ ...attributeValue(depth), ...extra() })

  const node = (depth: number): Node => ({
    op: name(),
    inputs: some(() => (flip() ? name() : '')),
    outputs: some(name),
    attributes: Object.fromEntries(some(() => [name(), attribute(depth)])),
    ...(flip() ? { name: name() } : {}),
    ...(flip() ? { domain: name() } : {}),
    ...(flip() ? { docString: name(), overload: name() } : {}),
    ...metadata(),
    ...extra(),
  })

  const graph = (depth: number): Graph => ({
    name: name(),
    nodes: some(() => node(depth), 4),
    initializers: new Map(some(() => tensor(), 4).map((t) => [t.name, t])),
    inputs: some(valueInfo),
    outputs: some(valueInfo),
    ...(flip() ? { valueInfo: [valueInfo()] } : {}),
    ...(flip() ? { docString: name() } : {}),
    ...(below(4) === 0 ? { sparseInitializers: [sparse()] } : {}),
    ...(below(8) === 0
      ? { quantization: [{ tensorName: name(), parameters: [{ key: name(), value: name() }], ...extra() }] }
      : {}),
    ...metadata(),
    ...extra(),
  })

  const training = (): TrainingInfo => ({
    ...(flip() ? { initialization: graph(0) } : {}),
    algorithm: graph(0),
    updateBinding: [{ key: name(), value: name() }],
    ...extra(),
  })

  const fn = (): FunctionDef => ({
    name: name(),
    domain: name(),
    ...(flip() ? { overload: name() } : {}),
    inputs: some(name),
    outputs: some(name),
    ...(flip() ? { attributes: [name()] } : {}),
    ...(flip() ? { attributeDefaults: { [name()]: attribute(0) } } : {}),
    nodes: some(() => node(1)),
    opsets: [{ domain: name(), version: 1 + below(20) }],
    ...(flip() ? { valueInfo: [valueInfo()] } : {}),
    ...metadata(),
    ...extra(),
  })

  return { below, flip, some, name, int, extra, tensor, graph, fn, training }
}
