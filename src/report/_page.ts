/** What the HTML reports have in common: one file that needs nothing else, no script and no network. */
import { style } from './_style.ts'

/** How good a figure is: good and bad are coloured, and said in words beside it. */
export type Tone = 'good' | 'bad' | 'plain'

export interface Page {
  readonly title: string
  /** Under the title: when and with what it was made. */
  readonly made: string
  /** Of `tile`: the figures to see first, the one that matters most at the start. */
  readonly tiles: readonly string[]
  readonly warnings: readonly string[]
  /** HTML of the sections. */
  readonly body: string
  readonly environment: readonly string[]
}

export function renderPage({ title, made, tiles, warnings, body, environment }: Page): string {
  const warned = warnings.map((w) => `<li>${escapeHtml(w)}</li>`).join('')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>
<h1>${escapeHtml(title)}</h1>
<p class="made">${escapeHtml(made)}</p>
${warned ? `<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">Warnings</h2><ul>${warned}</ul></section>` : ''}
<ul class="tiles">${tiles.join('')}</ul>
${body}
<footer>${environment.map(escapeHtml).join(' · ')}</footer>
</main></body></html>
`
}

export function tile(value: string, what: string, more: string, tone: Tone = 'plain'): string {
  return `<li class="tile ${tone}"><strong>${escapeHtml(value)}</strong><span>${escapeHtml(what)}</span><small>${escapeHtml(more)}</small></li>`
}

export function section(title: string, html: string): string {
  return `<section><h2>${escapeHtml(title)}</h2>
${html}</section>`
}

export interface Cell {
  readonly html: string
  /** Numbers, which are to the right, unless it says otherwise. */
  readonly kind?: 'text' | 'bar'
  readonly tone?: Tone
}

export interface Table {
  /** What the table shows, for those who do not see it in its place. */
  readonly caption: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly (string | Cell)[])[]
  /** On a narrow screen a row is its name and below it either its cells side by side, or pairs of column and value. */
  readonly narrow: 'side' | 'stacked'
}

/** A table whose first column names its rows. Strings are escaped. The roles hold where a style lays rows out as blocks. */
export function table({ caption, head, rows, narrow }: Table): string {
  const heads = head.map((h, c) => {
    const cell = rows[0]?.[c]
    const kind = typeof cell === 'object' && cell.kind ? ` class="${cell.kind}"` : ''
    return `<th role="columnheader" scope="col"${kind}>${escapeHtml(h)}</th>`
  })
  const cells = (row: readonly (string | Cell)[]): string =>
    row
      .map((cell, c) => {
        const { html, kind, tone }: Cell = typeof cell === 'string' ? { html: escapeHtml(cell) } : cell
        const classes = [...(kind ? [kind] : []), ...(tone && tone !== 'plain' ? [tone] : [])].join(' ')
        const attributes = classes ? ` class="${classes}"` : ''
        return c === 0
          ? `<th role="rowheader" scope="row"${attributes}>${html}</th>`
          : `<td role="cell" data-label="${escapeHtml(head[c])}"${attributes}>${html}</td>`
      })
      .join('')
  return `<table role="table" class="${narrow}"><caption>${escapeHtml(caption)}</caption>
<thead role="rowgroup"><tr role="row">${heads.join('')}</tr></thead>
<tbody role="rowgroup">${rows.map((r) => `<tr role="row">${cells(r)}</tr>`).join('\n')}</tbody></table>`
}

/** Facts as pairs of a name and what it is. */
export function facts(pairs: readonly (readonly [name: string, what: string])[]): string {
  return `<dl>${pairs.map(([name, what]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(what)}</dd></div>`).join('\n')}</dl>`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
