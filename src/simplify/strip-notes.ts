/**
 * Removes what exporters note for people and debuggers: stack traces, class names, paths of the machine that exported.
 * Nothing reads them when a model runs. Metadata under other keys (class names, strides, tasks, licences) is kept.
 */
import { defineMethod } from '../method.ts'
import type { Attribute, FunctionDef, Graph, Model, Node, StringEntry, Tensor, ValueInfo } from '../model.ts'

export const stripNotes = defineMethod({
  id: 'strip-notes',
  help: "removes exporters' notes (stack traces, class names, paths) and training graphs; keeps other metadata",
  options: {},
  run: (model) => withoutNotes(model).model,
})

/** Keys that PyTorch's and onnxscript's exporters write, on models, graphs, nodes and values. */
const noteKeys = /^(namespace$|pkg\.torch\.|pkg\.onnxscript\.)/

/** Stack traces as Python and older versions of PyTorch write them, exporters' keys in a text, and paths of somebody's machine. */
const noteTexts =
  /File ".*", line \d+|\S\.py\(\d+\): |pkg\.torch\.|(^|[\s"'=:(])(\/home\/|\/Users\/|\/root\/|\/tmp\/|\/mnt\/|[A-Z]:\\Users\\)/

/** The model without notes, and how many bytes of text were removed; the model itself where it has none. */
export function withoutNotes(model: Model): { readonly model: Model; readonly bytes: number } {
  const strip = stripper({ isNote: (text) => noteTexts.test(text), isNoteKey: (key) => noteKeys.test(key) })
  const { training, ...rest } = strip.model(model)
  const bytes = strip.bytes()
  return bytes === 0 && !training ? { model, bytes } : { model: rest, bytes }
}

/** The model without any metadata and documentation. */
export function withoutTexts(model: Model): Model {
  return stripper({ isNote: () => true, isNoteKey: () => true }).model(model)
}

/** What may carry notes. */
interface Noted {
  readonly docString?: string
  readonly metadata?: readonly StringEntry[]
}

/** Which texts are removed, and metadata of which keys, whatever its text. */
interface Notes {
  readonly isNote: (text: string) => boolean
  readonly isNoteKey: (key: string) => boolean
}

function stripper({ isNote, isNoteKey }: Notes) {
  let bytes = 0
  const utf8 = new TextEncoder()
  const count = (text: string): void => {
    bytes += utf8.encode(text).length
  }

  const strip = <T extends Noted>(item: T): T => {
    const { docString, metadata } = item
    const goes = docString !== undefined && isNote(docString)
    if (goes) count(docString)
    const kept = metadata?.filter((entry) => {
      if (!isNoteKey(entry.key) && !isNote(entry.value)) return true
      count(entry.key)
      count(entry.value)
      return false
    })
    if (!goes && kept?.length === metadata?.length) return item
    // Property by property, so that the data of a tensor is not read that lies in another file.
    const { docString: doc, metadata: notes, ...others } = Object.getOwnPropertyDescriptors(item)
    return Object.defineProperties(
      {} as T,
      {
        ...others,
        ...(doc && !goes ? { docString: doc } : {}),
        ...(notes && kept?.length ? { metadata: { ...notes, value: kept } } : {}),
      } as PropertyDescriptorMap,
    )
  }

  const attribute = (a: Attribute): Attribute => {
    if (a.type === 'graph') return { ...a, value: graph(a.value) }
    if (a.type === 'graphs') return { ...a, value: a.value.map(graph) }
    return a.type === 'tensor' ? { ...a, value: strip(a.value) } : a
  }

  const node = (original: Node): Node => {
    const entries = Object.entries(original.attributes).map(([name, a]) => [name, attribute(a)] as const)
    return { ...strip(original), attributes: Object.fromEntries(entries) }
  }

  const values = (list: readonly ValueInfo[]): ValueInfo[] => list.map(strip)

  const graph = (original: Graph): Graph => ({
    ...strip(original),
    nodes: original.nodes.map(node),
    initializers: new Map([...original.initializers].map(([name, t]): [string, Tensor] => [name, strip(t)])),
    inputs: values(original.inputs),
    outputs: values(original.outputs),
    ...(original.valueInfo ? { valueInfo: values(original.valueInfo) } : {}),
  })

  const localFunction = (fn: FunctionDef): FunctionDef => ({
    ...strip(fn),
    nodes: fn.nodes.map(node),
    ...(fn.valueInfo ? { valueInfo: values(fn.valueInfo) } : {}),
  })

  return {
    model: (model: Model): Model => ({
      ...strip(model),
      graph: graph(model.graph),
      ...(model.functions ? { functions: model.functions.map(localFunction) } : {}),
    }),
    bytes: () => bytes,
  }
}
