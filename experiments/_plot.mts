/** A line chart as an SVG that needs nothing else. */

export interface Curve {
  readonly label: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface ChartOptions {
  readonly title: string
  readonly x: string
  readonly y: string
  /** A level line. */
  readonly dashed?: { readonly label: string; readonly y: number }
}

const width = 760
const height = 420
const area = { left: 60, right: 510, top: 44, bottom: 370 }
/** Okabe and Ito's colours, told apart by all kinds of eyes; the marks differ as well. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#5a5a5a', '#8a6d00']

/** Both axes begin and end at round numbers around the points. */
export function lineChart(curves: readonly Curve[], { title, x, y, dashed }: ChartOptions): string {
  const all = curves.flatMap((c) => c.points)
  const xTicks = ticks(all.map((p) => p[0]))
  const yTicks = ticks([...all.map((p) => p[1]), ...(dashed ? [dashed.y] : [])])
  const along = (v: number): number => area.left + share(v, xTicks) * (area.right - area.left)
  const up = (v: number): number => area.bottom - share(v, yTicks) * (area.bottom - area.top)
  const parts = [
    text(area.left, 22, title, 'start', 'font-size="15" font-weight="600"'),
    ...yTicks.flatMap((v) => [
      `<path d="M${area.left} ${up(v).toFixed(1)}H${area.right}" stroke="#dde1e6"/>`,
      text(area.left - 8, up(v) + 4, String(v), 'end'),
    ]),
    ...xTicks.map((v) => text(along(v), area.bottom + 18, String(v), 'middle')),
    text((area.left + area.right) / 2, area.bottom + 38, x, 'middle'),
    `<g transform="translate(16 ${(area.top + area.bottom) / 2}) rotate(-90)">${text(0, 0, y, 'middle')}</g>`,
    ...(dashed ? level(dashed, { at: up(dashed.y), legend: area.top + 10 + 20 * curves.length }) : []),
    ...curves.flatMap((curve, i) => {
      const colour = colours[i % colours.length]
      const at = curve.points.map(([a, b]) => [along(a).toFixed(1), up(b).toFixed(1)] as const)
      const legend = area.top + 10 + 20 * i
      return [
        `<polyline points="${at.map((p) => p.join(',')).join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...at.map(([px, py]) => mark(Number(px), Number(py), { colour, kind: i })),
        mark(area.right + 22, legend, { colour, kind: i }),
        text(area.right + 34, legend + 4, curve.label, 'start'),
      ]
    }),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="system-ui,sans-serif" font-size="12">
<title>${escapeXml(title)}</title><rect width="${width}" height="${height}" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}

function level({ label, y }: { label: string; y: number }, { at, legend }: { at: number; legend: number }): string[] {
  const dash = 'stroke="#444" stroke-dasharray="5 4"'
  return [
    `<path d="M${area.left} ${at.toFixed(1)}H${area.right}" ${dash}/>`,
    `<path d="M${area.right + 14} ${legend}h16" ${dash}/>`,
    text(area.right + 34, legend + 4, `${label}, ${y}`, 'start'),
  ]
}

/** About six round numbers whose first and last enclose the values. */
function ticks(values: readonly number[]): number[] {
  const low = Math.min(...values)
  const span = Math.max(Math.max(...values) - low, 1e-6)
  const rough = span / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10)
  const from = Math.floor(low / step)
  const to = Math.ceil((low + span) / step - 1e-9)
  return Array.from({ length: to - from + 1 }, (_, i) => Number(((from + i) * step).toPrecision(10)))
}

function share(value: number, ticked: readonly number[]): number {
  return (value - ticked[0]) / (ticked[ticked.length - 1] - ticked[0])
}

function mark(x: number, y: number, { colour, kind }: { colour: string; kind: number }): string {
  const forms = ['M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z', 'M-4 -4H4V4H-4Z', 'M0 -5L5 4H-5Z', 'M0 -5L5 0L0 5L-5 0Z']
  return `<path transform="translate(${x} ${y})" d="${forms[kind % forms.length]}" fill="${colour}"/>`
}

function text(x: number, y: number, value: string, anchor: 'start' | 'middle' | 'end', more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222" ${more}>${escapeXml(value)}</text>`
}

function escapeXml(value: string): string {
  return value.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
}
