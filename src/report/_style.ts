/**
 * The style of all reports: light and dark, from 320 pixels of width on, printable. Text has a contrast of at least 4.5 to
 * its background in both.
 */
export const style = `
:root{color-scheme:light dark;--ink:#1d2a24;--soft:#56635c;--line:#dde4df;--paper:#fff;--ground:#f4f7f5;--good:#2a7347;--bad:#b3261e;--bark:#c3cfc8;--leaf:#2f7d4f;--held:#b3561d;--warn:#7a4200;--warnground:#fff4e2;--third:#2b5f9e;--fourth:#7a3e9d}
@media(prefers-color-scheme:dark){:root{--ink:#e6ece8;--soft:#a3b1a9;--line:#2c3832;--paper:#17201b;--ground:#0f1512;--good:#6fd197;--bad:#ff9c91;--bark:#3f5047;--leaf:#5cc488;--held:#f0a268;--warn:#ffc37a;--warnground:#33260f;--third:#7db2f0;--fourth:#cf9cf0}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:2rem 1.25rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:0 0 .75rem}h3{font-size:.95rem;margin:1rem 0 .5rem}
.made{color:var(--soft);margin:.25rem 0 1.25rem;font-size:.9rem}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:0 0 1rem;min-width:0}
ul{margin:0;padding-left:1.2rem}li,dd,p{overflow-wrap:anywhere}li+li{margin-top:.2rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(230px,100%),1fr));gap:1rem;list-style:none;padding:0;margin:0 0 1rem}
.tile{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem 1.25rem;display:flex;flex-direction:column;margin:0;border-top:3px solid var(--bark)}
.tile strong{font-size:1.9rem;line-height:1.15;font-weight:650}.tile span{font-weight:600}.tile small{color:var(--soft);font-size:.85rem}
.tile.good{border-top-color:var(--good)}.tile.good strong,td.good{color:var(--good)}.tile.bad{border-top-color:var(--bad)}.tile.bad strong,td.bad{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.34rem .6rem;text-align:right;vertical-align:baseline;border-bottom:1px solid var(--line)}th{font-weight:500}
th:first-child{text-align:left;padding-left:0;overflow-wrap:anywhere}td:last-child,th:last-child{padding-right:0}th.text,td.text,th.bar{text-align:left}
thead th{color:var(--soft);font-size:.85rem}tbody tr:last-child>*{border-bottom:0}
.stacked{font-size:.88rem}.stacked td:not(.text){white-space:nowrap}
.bar{width:22%;min-width:7rem}.bar svg{display:block;width:100%;height:12px}.before{fill:var(--bark)}.after{fill:var(--leaf)}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 .9em;background:var(--leaf)}.swatch:first-child{margin-left:0}.swatch.before{background:var(--bark)}.swatch.held{background:var(--held)}
.legend{color:var(--soft);font-size:.88rem;margin:0 0 .75rem}table+.legend{margin:.6rem 0 0}
dl{margin:0}dl div{display:grid;grid-template-columns:11rem 1fr;gap:.1rem 1rem;padding:.3rem 0;border-bottom:1px solid var(--line)}dl div:last-child{border-bottom:0}dt{color:var(--soft)}dd{margin:0}
.warnings{background:var(--warnground);color:var(--warn)}
pre{background:var(--ground);border-radius:8px;padding:.75rem 1rem;font-size:.82rem;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:1.25rem}.charts.small{grid-template-columns:repeat(auto-fill,minmax(min(240px,100%),1fr));gap:1rem}
figure{margin:0;min-width:0}figcaption{font-weight:600;font-size:.88rem;overflow-wrap:anywhere}.charts svg{display:block;width:100%;height:auto}
.charts text{font-size:11px;fill:var(--soft)}.charts.small text{font-size:9px}.grid{stroke:var(--line)}.reference{stroke:var(--soft);stroke-dasharray:3 3}
polyline{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke:var(--leaf)}polyline.held{stroke:var(--held)}circle.held{fill:var(--held)}circle.ring{fill:var(--paper);stroke:var(--held);stroke-width:2}
.mark{fill:var(--leaf);stroke:var(--leaf)}.mark.series1{fill:var(--held);stroke:var(--held)}.mark.series2{fill:var(--third);stroke:var(--third)}.mark.series3{fill:var(--fourth);stroke:var(--fourth)}
.mark.original{fill:var(--paper)}.mark.beaten{opacity:.5}.mark .range{stroke-width:1.4}.mark .number{fill:var(--ink);stroke:none;font-weight:600}polyline.front{stroke:var(--soft);stroke-width:1.2}
.key{width:1em;height:1em;vertical-align:-.12em;margin-right:.3em}.keyed{display:inline-block;margin-right:1em}.stacked td.text{overflow-wrap:anywhere;min-width:6rem}.charts+table{margin-top:1.1rem}.charts+table tbody th{min-width:8rem}
footer{color:var(--soft);font-size:.82rem;overflow-wrap:anywhere}
@media(max-width:640px){main{padding:1rem .75rem 2rem}section{padding:.9rem .85rem}.tile{padding:.8rem .9rem}dl div{grid-template-columns:1fr}
table,thead,tbody{display:block}tr{display:grid;gap:.1rem 1.2rem;padding:.5rem 0;border-bottom:1px solid var(--line);align-items:baseline}tbody tr:last-child{border-bottom:0;padding-bottom:0}
th,td{padding:0!important;border:0;font-size:.88rem}th[scope=row]{grid-column:1/-1;font-weight:600}
.side tr{grid-template-columns:minmax(0,1fr) minmax(0,1fr) minmax(0,1.5fr)}.side thead th:first-child{display:none}
.stacked thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}.stacked tr{display:flex;flex-wrap:wrap}.stacked th{flex:1 0 100%}
.stacked td{flex:1 1 calc(50% - .6rem);display:flex;justify-content:space-between;gap:.6rem}.stacked td:empty{display:none}.stacked td.text{flex-basis:100%}
.stacked td::before{content:attr(data-label);color:var(--soft);flex:none}.stacked td.text{text-align:right}.stacked td.bar{display:block;flex-basis:100%;padding:.2rem 0!important}.stacked td.bar::before{content:none}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}`
