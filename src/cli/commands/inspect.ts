/** `coppice inspect MODEL [--json]`: the layer table, and what is unsupported. */
import { UnsupportedError } from '../../errors.ts'
import { type Inspection, inspectModel, type LayerInfo } from '../../inspect.ts'
import { openModel } from '../../node/files.ts'
import { type ShapeFlags, shapedModel } from '../data-options.ts'

export interface InspectResult {
  /** What goes to stdout: the table, or one JSON object. */
  readonly output: string
  /** Why the model cannot be worked with, where it cannot: for stderr, and exit code 1. */
  readonly error?: Error
}

/** Reads a model file and describes it. Throws one sentence where it cannot be read. */
export async function runInspect(
  path: string,
  options: { readonly json?: boolean } & ShapeFlags = {},
): Promise<InspectResult> {
  const inspection = inspectModel(shapedModel(openModel(path), options))
  return {
    output: options.json ? JSON.stringify({ model: path, ...inspection }) : render(path, inspection),
    error: complaint(path, inspection),
  }
}

/** The one sentence that says why the model cannot be worked with. */
function complaint(path: string, { problems, unsupported }: Inspection): Error | undefined {
  const more = (n: number): string => (n > 1 ? ` (and ${n - 1} more like it)` : '')
  if (problems.length > 0) return new Error(`${path}: it cannot run: ${problems[0]}${more(problems.length)}`)
  if (unsupported.length === 0) return undefined
  const ops = [...new Set(unsupported.map((u) => u.op))]
  const kind = ops.length > 1 ? 'operators' : 'operator'
  const first = unsupported[0].node
  return new UnsupportedError(
    `${path}: no rule for the ${kind} ${ops.join(', ')}, first at node "${first}"${more(unsupported.length)}`,
  )
}

function render(path: string, inspection: Inspection): string {
  const { layers, totals } = inspection
  const shown = layers.filter((l) => l.params > 0 || l.macs !== 0)
  const head = ['layer', 'op', 'output', 'params', 'MACs', 'bytes', 'zeros', 'distinct']
  const rows = shown.map(cells)
  const total = ['total', '', '', whole(totals.params), whole(totals.macs), whole(totals.bytes), '', '']
  const lines = table([head, ...rows, total])
  const others = layers.length - shown.length
  const about = (values: Inspection['inputs']): string =>
    values.map((v) => `${v.name} ${v.dtype ?? '?'}${shape(v.shape)}`).join(', ')
  return [
    `${path}: operator set ${inspection.opset}, ${totals.layers} layers`,
    `inputs: ${about(inspection.inputs)}`,
    `outputs: ${about(inspection.outputs)}`,
    '',
    ...lines,
    ...(others > 0 ? [`and ${others} more: ${tally(layers.filter((l) => !shown.includes(l)))}`] : []),
    ...inspection.unsupported.map((u) => `unsupported: ${u.op} "${u.node}": ${u.why}`),
    ...inspection.problems.map((p) => `problem: ${p}`),
  ].join('\n')
}

function cells(layer: LayerInfo): string[] {
  const { name, op, outputShape, params, macs, bytes, sparsity, distinct } = layer
  const zeros = sparsity === null ? '' : `${(100 * sparsity).toFixed(1)}%`
  return [shorten(name), op, shape(outputShape), whole(params), whole(macs), whole(bytes), zeros, whole(distinct, '')]
}

function shape(dims: LayerInfo['outputShape']): string {
  return dims ? `[${dims.map((d) => d ?? '?').join(', ')}]` : '?'
}

function whole(n: number | null, unknown = '?'): string {
  return n === null ? unknown : n.toLocaleString('en-US')
}

/** Long exporter names keep their end, which tells them apart. */
function shorten(name: string): string {
  return name.length > 40 ? `…${name.slice(-39)}` : name
}

function tally(layers: readonly LayerInfo[]): string {
  const counts = new Map<string, number>()
  for (const { op } of layers) counts.set(op, (counts.get(op) ?? 0) + 1)
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([op, n]) => `${op} ${n}`)
    .join(', ')
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
