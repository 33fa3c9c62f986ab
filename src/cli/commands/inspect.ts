/** `coppice inspect MODEL [--groups] [--json]`: the layer table, what is unsupported, and which channels are coupled. */
import { type ChannelGroup, openChannels } from '../../channels/channel-groups.ts'
import { type FileParts, filePartsOf, partsInWords } from '../../evaluate/file-parts.ts'
import { type Inspection, inspectModel, type LayerInfo } from '../../inspect/inspect.ts'
import { count } from '../../numbers.ts'
import { shownName } from '../../shown-name.ts'
import { defineCommand } from '../command.ts'
import { type ShapeFlags, shapedModel, shapeOption } from '../data-options.ts'
import { openToRead } from '../inputs.ts'

export const inspectCommand = defineCommand({
  arguments: '<model>',
  options: {
    ...shapeOption,
    groups: {
      type: 'boolean',
      default: false,
      help: 'list the groups of channels that can only be removed together, and what needs them',
    },
  },
  async run([path], given, { io }) {
    const { output, error } = await runInspect(path, { ...given, json: io.json })
    process.stdout.write(`${output}\n`)
    if (error) throw error
  },
})

export interface InspectResult {
  /** What goes to stdout: the table, or one JSON object. */
  readonly output: string
  /** Why the model cannot run, where it cannot: for stderr, and exit code 1. */
  readonly error?: Error
}

/** Reads a model file, packed or not, and describes it. Throws one sentence where it cannot be read. */
export async function runInspect(
  path: string,
  options: { readonly json?: boolean; readonly groups?: boolean } & Partial<ShapeFlags> = {},
): Promise<InspectResult> {
  const { model, bytes, packedBytes } = openToRead(path)
  const shaped = shapedModel(model, { inputShape: [], ...options })
  const inspection = inspectModel(shaped)
  const parts = filePartsOf(model, inspection.totals.bytes)
  const groups = options.groups ? openChannels(shaped).groups : undefined
  return {
    output: options.json
      ? JSON.stringify({
          model: path,
          ...(packedBytes ? { packedBytes } : {}),
          file: { bytes, ...parts },
          ...inspection,
          ...(groups ? { groups: groups.map(plainGroup) } : {}),
        })
      : [
          render(path, inspection, packedBytes),
          '',
          ...fileLines(bytes, parts),
          ...(groups ? ['', ...groupLines(groups)] : []),
        ].join('\n'),
    error: complaint(path, inspection),
  }
}

/** The one sentence that says why the model cannot run. */
function complaint(path: string, { problems }: Inspection): Error | undefined {
  if (problems.length === 0) return undefined
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more like it)` : ''
  return new Error(`${path}: it cannot run: ${problems[0]}${more}`)
}

/** Sentences hold names too. */
const mostText = 500

function render(path: string, inspection: Inspection, packedBytes: number | undefined): string {
  const { layers, totals } = inspection
  const shown = layers.filter((l) => l.params > 0 || l.macs !== 0)
  const head = ['layer', 'op', 'output', 'params', 'MACs', 'bytes', 'zeros', 'distinct']
  const rows = shown.map(cells)
  const total = ['total', '', '', whole(totals.params), whole(totals.macs), whole(totals.bytes), '', '']
  const lines = table([head, ...rows, total])
  const others = layers.length - shown.length
  const about = (values: Inspection['inputs']): string =>
    values
      .map((v) => `${shownName(v.name)} ${v.kind ?? `${v.dtype ?? '?'}${v.shape ? shape(v.shape) : ''}`}`)
      .join(', ') || 'none'
  return [
    `${path}: ${packedBytes ? `packed in ${whole(packedBytes)} bytes, ` : ''}${sets(inspection)}, ${totals.layers} ${totals.layers === 1 ? 'layer' : 'layers'}`,
    `inputs: ${about(inspection.inputs)}`,
    `outputs: ${about(inspection.outputs)}`,
    '',
    ...lines,
    ...(others > 0 ? [`and ${others} more: ${tally(layers.filter((l) => !shown.includes(l)))}`] : []),
    ...unknownOperators(inspection.unsupported),
    ...inspection.problems.map((p) => `problem: ${shownName(p, mostText)}`),
    ...inspection.remarks.map((r) => `note: ${shownName(r, mostText)}`),
  ].join('\n')
}

/** What the file's bytes are. */
function fileLines(bytes: number, parts: FileParts): string[] {
  const rows = [...partsInWords(bytes, parts), ['.onnx file', bytes] as const].map(([name, n]) => [name, whole(n)])
  const widths = [0, 1].map((c) => Math.max(...rows.map((r) => r[c].length)))
  return rows.map(([name, n]) => `${name.padEnd(widths[0])}  ${n.padStart(widths[1])}`)
}

/** The operator sets: ONNX's own by its version alone. */
function sets({ opsets }: Inspection): string {
  if (opsets.length === 0) return 'no operator set'
  const named = [...opsets].sort((a, b) => a.domain.localeCompare(b.domain))
  const texts = named.map(({ domain, version }) => (domain ? `${domain} ${version}` : String(version)))
  return `operator set ${[...new Set(texts)].join(', ')}`
}

/** A line for each operator without a rule, and each reason. */
function unknownOperators(unsupported: Inspection['unsupported']): string[] {
  const groups = new Map<string, { op: string; why: string; nodes: string[] }>()
  for (const { op, why, node } of unsupported) {
    const group = groups.get(`${op} ${why}`) ?? { op, why, nodes: [] }
    group.nodes.push(node)
    groups.set(`${op} ${why}`, group)
  }
  return [...groups.values()].map(({ op, why, nodes }) => {
    const where = nodes.length > 1 ? `${nodes.length} nodes, first "${nodes[0]}"` : `"${nodes[0]}"`
    return `unsupported: ${op} (${where}): ${why}, so its outputs are as the file declares them`
  })
}

function cells(layer: LayerInfo): string[] {
  const { name, op, outputShape, params, macs, bytes, sparsity, distinct } = layer
  const unseen = params > 0 ? '?' : ''
  const zeros = sparsity === null ? unseen : `${(100 * sparsity).toFixed(1)}%`
  return [shorten(name), op, shape(outputShape), whole(params), whole(macs), whole(bytes), zeros, whole(distinct, '')]
}

function shape(dims: LayerInfo['outputShape']): string {
  return dims ? `[${dims.map((d) => d ?? '?').join(', ')}]` : '?'
}

function whole(n: number | null, unknown = '?'): string {
  return n === null ? unknown : count(n)
}

/** Long exporter names keep their end, which tells them apart. */
function shorten(name: string): string {
  return shownName(name.length > 40 ? `…${name.slice(-39)}` : name)
}

function tally(layers: readonly LayerInfo[]): string {
  const counts = new Map<string, number>()
  for (const { op } of layers) counts.set(op, (counts.get(op) ?? 0) + 1)
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([op, n]) => `${op} ${n}`)
    .join(', ')
}

/** A group as JSON. */
function plainGroup({ name, units, members, held }: ChannelGroup) {
  return {
    name,
    units,
    members: members.map((m) => ({ ...m, units: [...m.units] })),
    held: [...held].map(([unit, why]) => ({ unit, why })),
  }
}

/** A row for each group: its channels, how many of them may be removed, its layers, and what needs the others. */
function groupLines(groups: readonly ChannelGroup[]): string[] {
  if (groups.length === 0) return ['no layer with plain float32 weights has channels that can be followed']
  const free = groups.filter((g) => g.held.size < g.units).length
  const head = ['group', 'made by', 'read by', 'channels', 'removable']
  const rows = groups.map(({ name, units, members, held }) => {
    const nodes = (role: string): string[] => [...new Set(members.filter((m) => m.role === role).map((m) => m.node))]
    return [shorten(name), some(nodes('makes')), some(nodes('reads')), whole(units), whole(units - held.size)]
  })
  const total = [
    'total',
    '',
    '',
    ...[3, 4].map((c) => whole(rows.reduce((n, r) => n + Number(r[c].replaceAll(',', '')), 0))),
  ]
  const whys = groups.flatMap(({ name, held }) => {
    const counts = new Map<string, number>()
    for (const why of held.values()) counts.set(why, (counts.get(why) ?? 0) + 1)
    return [...counts].map(([why, n]) => `${shorten(name)}: ${whole(n)} must be kept, as ${why}`)
  })
  return [
    `${groups.length} ${groups.length === 1 ? 'group' : 'groups'} of channels that can only be removed together; ${free} may lose some`,
    '',
    ...table([head, ...rows, total]),
    ...whys,
  ]
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 2).map(shorten).join(', ')
  return names.length > 2 ? `${shown} and ${names.length - 2} more` : shown
}

/** Columns aligned: the first three to the left, numbers to the right; a rule under the head and above the total. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((r) => r[c].length)))
  const lines = rows.map((r) =>
    r
      .map((cell, c) => (c < 3 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd(),
  )
  const rule = widths.map((w) => '-'.repeat(w)).join('  ')
  return [lines[0], rule, ...lines.slice(1, -1), rule, lines[lines.length - 1]]
}
