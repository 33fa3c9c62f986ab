/** What is odd about a model file, in sentences: nothing that hinders, but worth knowing before one ships it. */

import { dropUnused } from '../graph/drop-unused.ts'
import { constantOf, describe, graphsOf, isRandom, producersOf, storedBytes, tensorsOf } from '../graph/walk.ts'
import { type Graph, irVersionOf, isOnnxDomain, type Model, type Node, newestOpset } from '../model.ts'
import { count } from '../numbers.ts'
import { isTooOld } from '../ops/operator-sets.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { withoutDuplicates } from './merge-duplicates.ts'
import { withoutNotes } from './strip-notes.ts'

/** The newest version of ONNX's file format that coppice knows. */
const newestIr = irVersionOf(newestOpset)

export function remarksOn(model: Model): string[] {
  return [...versionRemarks(model), ...randomRemarks(model), ...sparseRemarks(model), ...leftoverRemarks(model)]
}

function versionRemarks(model: Model): string[] {
  const own = model.opsets.find((o) => isOnnxDomain(o.domain))?.version
  const remarks: string[] = []
  if (model.opsets.length === 0) remarks.push('it names no operator set, as files from before 2018: read as set 1')
  if (own !== undefined && isTooOld(own))
    remarks.push(`operator set ${own} is from before 2018: compressing and training raise it first`)
  if (own !== undefined && own > newestOpset)
    remarks.push(`operator set ${own} is newer than coppice knows (${newestOpset}): shapes and counts may be off`)
  if (model.irVersion > newestIr)
    remarks.push(`its file format, IR version ${model.irVersion}, is newer than coppice knows (${newestIr})`)
  if (model.graph.nodes.length === 0) remarks.push('its graph has no nodes')
  return remarks
}

/** Outputs that differ from run to run cannot be compared with those of another model; whether they do, only runs tell. */
function randomRemarks(model: Model): string[] {
  const drawer = drawsRandom(model)
  return drawer ? [`it draws random numbers as it runs (${drawer}), so its outputs may differ from run to run`] : []
}

/** The first node that draws random numbers, as `RandomNormalLike "noise"`; undefined where none does. */
export function drawsRandom(model: Model): string | undefined {
  const inGraph = (graph: Graph): Node | undefined => {
    const producers = producersOf(graph)
    return graph.nodes.find((node) => isRandom(node, (name) => constantOf(graph, name, producers)))
  }
  const inFunctions = (model.functions ?? []).flatMap((fn) => fn.nodes).find((node) => isRandom(node))
  const node = [...graphsOf(model)].map(inGraph).find((n) => n) ?? inFunctions
  return node && describe(node)
}

/** Why the weights of a model that draws random numbers keep their precision; undefined of others. */
export function whyRandomStays(model: Model): string | undefined {
  if (!drawsRandom(model)) return undefined
  return 'the model draws random numbers, by which its outputs may differ more than is allowed, so no loss can be told'
}

/** Tensors that are named at most. */
const mostNamed = 5

function sparseRemarks(model: Model): string[] {
  const sparse = [...graphsOf(model)].flatMap((g) => g.sparseInitializers ?? [])
  if (sparse.length === 0) return []
  const sum = (sizes: readonly number[]): number => sizes.reduce((a, b) => a + b, 0)
  const [stored, all] = [sum(sparse.map((s) => sizeOf(s.values.dims))), sum(sparse.map((s) => sizeOf(s.dims)))]
  const names = sparse.slice(0, mostNamed).map((s) => s.values.name)
  const which = `${names.join(', ')}${sparse.length > mostNamed ? ', …' : ''}`
  return [`${tensors(sparse.length)} stored as sparse: ${count(stored)} of ${count(all)} values (${which})`]
}

/** What `compress` leaves out. */
function leftoverRemarks(model: Model): string[] {
  const remarks: string[] = []
  if (model.training) remarks.push('it carries graphs of how to train it, which no known runtime uses')
  const { model: noteless, bytes } = withoutNotes(model)
  if (bytes > 0) remarks.push(`${count(bytes)} bytes are notes of the exporter (stack traces, class names, paths)`)
  const used = { ...noteless, graph: dropUnused(noteless.graph) }
  const [before, after] = [noteless, used].map((m) => [...tensorsOf(m)].length)
  if (after < before)
    remarks.push(
      `${tensors(before - after)} read by nothing, ${count(storedBytes(noteless) - storedBytes(used))} bytes`,
    )
  const merged = withoutDuplicates(used)
  if (merged.bytes > 1000) remarks.push(`${tensors(merged.count)} stored again, ${count(merged.bytes)} bytes`)
  return remarks
}

function tensors(n: number): string {
  return n === 1 ? '1 tensor is' : `${count(n)} tensors are`
}
