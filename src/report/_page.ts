/** What the HTML reports have in common: one file that needs nothing else, no script and no network. */

export interface Page {
  readonly title: string
  /** Of `tile`: the figures to see first. */
  readonly tiles: readonly string[]
  readonly warnings: readonly string[]
  /** HTML of the sections. */
  readonly body: string
  readonly environment: readonly string[]
}

export function renderPage({ title, tiles, warnings, body, environment }: Page): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>
<h1>${escapeHtml(title)}</h1>
<section class="tiles">${tiles.join('')}</section>
${warnings.length > 0 ? `<section class="warnings"><h2>Warnings</h2><ul>${warnings.map((w) => `<li>${escapeHtml(w)}</li>`).join('')}</ul></section>` : ''}
${body}
<footer>${environment.map(escapeHtml).join(' · ')}</footer>
</main></body></html>
`
}

export function tile(value: string, what: string, more: string): string {
  return `<div class="tile"><strong>${escapeHtml(value)}</strong><span>${escapeHtml(what)}</span><small>${escapeHtml(more)}</small></div>`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

const style = `
:root{color-scheme:light dark;--ink:#1d2a24;--soft:#5d6b64;--line:#dde4df;--paper:#fff;--ground:#f4f7f5;--leaf:#2f7d4f;--bark:#c9d3cd;--held:#b3561d;--warn:#8a4b00;--warnground:#fff4e2}
@media(prefers-color-scheme:dark){:root{--ink:#e6ece8;--soft:#9baba2;--line:#2c3832;--paper:#17201b;--ground:#0f1512;--leaf:#5cc488;--bark:#3b4a42;--held:#f0a268;--warn:#ffc37a;--warnground:#3a2a12}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:2rem 1.25rem 3rem}h1{font-size:1.5rem;margin:0 0 1.25rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:0 0 .75rem}h3{font-size:.95rem;margin:1rem 0 .5rem}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:0 0 1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:1rem;background:none;border:0;padding:0}
.tile{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem 1.25rem;display:flex;flex-direction:column}
.tile strong{font-size:2rem;line-height:1.15;color:var(--leaf)}.tile span{font-weight:600}.tile small{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.32rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:500}thead th{color:var(--soft);font-size:.85rem}tbody tr:last-child>*{border-bottom:0}
.layers td:nth-child(2){text-align:left;color:var(--soft)}.layers{font-size:.88rem}.bar{width:26%;min-width:140px}.bar svg{display:block;width:100%;height:12px}
.before{fill:var(--bark)}.after{fill:var(--leaf)}.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-left:.6em}.swatch.before{background:var(--bark)}.swatch:first-child{margin-left:0}.swatch.after{background:var(--leaf)}
.legend{color:var(--soft);font-size:.88rem;margin:0 0 .75rem}.scroll{overflow-x:auto}.dot{display:inline-block;width:.65em;height:.65em;border-radius:50%;background:var(--leaf);margin-right:.4em}
.warnings{background:var(--warnground);color:var(--warn)}ul{margin:0;padding-left:1.2rem}pre{background:var(--ground);border-radius:8px;padding:.75rem 1rem;overflow-x:auto;font-size:.82rem;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:1.25rem}figure{margin:0}figcaption{font-weight:600;font-size:.9rem}.charts svg{display:block;width:100%;height:auto}
.charts text{font-size:11px;fill:var(--soft)}.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}polyline.training{stroke:var(--leaf)}polyline.held{stroke:var(--held)}circle.held{fill:var(--held)}.swatch.held{background:var(--held)}
footer{color:var(--soft);font-size:.82rem}`
