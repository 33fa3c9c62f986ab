/**
 * Writes what follows from the methods' files: the table of each family (`index.ts`) and a reference page for each method, in
 * docs/methods/. A page has the method's line of help, the comment that its file opens with, and its option table; what
 * people write below the mark `<!-- end -->` stays. `npm run methods` rewrites them; `--check` fails where they differ (a
 * test runs that).
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Method } from '../src/method.ts'
import { expected } from '../src/options.ts'

const root = join(import.meta.dirname, '..')
const defined = /^export const (\w+) = defineMethod\(/m

interface Found {
  readonly family: string
  readonly file: string
  readonly name: string
  readonly method: Method
  /** The comment that the file opens with. */
  readonly about: string
}

async function findMethods(): Promise<Found[]> {
  const found: Found[] = []
  // As the formatter orders exports: share before share-vectors.
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const key = (file: string): string => file.replace(/\.ts$/, '')
  for (const file of files.sort((a, b) => (key(a) < key(b) ? -1 : 1))) {
    const [family, base, ...below] = file.split(/[/\\]/)
    if (!base || below.length > 0 || !base.endsWith('.ts') || base.endsWith('.test.ts')) continue
    const path = join(root, 'src', file)
    const text = readFileSync(path, 'utf8')
    const name = defined.exec(text)?.[1]
    if (!name) continue
    const module = (await import(pathToFileURL(path).href)) as Record<string, Method>
    found.push({ family, file: base, name, method: module[name], about: openingComment(text) })
  }
  return found
}

function openingComment(text: string): string {
  const [, comment = ''] = /^\/\*\*([\s\S]*?)\*\//.exec(text) ?? []
  return comment.replace(/^[ \t]*\*? ?/gm, '').trim()
}

/** Where users import a family from, `coppice/SUBPATH`: src/exports/ has a file for each. */
const note = 'Written by `npm run methods` from the files that define them.'

function familyTable(family: string, methods: readonly Found[]): string {
  const lines = methods.map(({ name, file }) => `export { ${name} } from './${file}'`)
  return `/** The methods of ${family}/. ${note} */\n${lines.join('\n')}\n`
}

function page({ family, file, name, method, about }: Found): string {
  const { id, help, data, options } = method
  const rows = Object.entries(options).map(([option, def]) => {
    const initial = def.default === undefined ? '' : `\`${JSON.stringify(def.default)}\``
    return `| \`${option}\` | ${expected(def)} | ${initial} | ${cell(def.help)} |`
  })
  const table =
    rows.length > 0
      ? ['## Options', '', '| option | takes | default | what it does |', '|---|---|---|---|', ...rows]
      : ['It has no options.']
  return [
    `# ${id}`,
    '',
    `<!-- ${note} -->`,
    `${help[0].toUpperCase()}${help.slice(1)}.`,
    '',
    about,
    '',
    ...(data ? [`**Data:** ${data}.`, ''] : []),
    ...table,
    '',
    '## Use',
    '',
    '```sh',
    `coppice apply ${id} model.onnx${data ? ' --data SPEC' : ''} -o out.onnx`,
    '```',
    '',
    `In code, \`methods.get('${id}')\` of \`coppice\` or \`${name}\` of \`coppice/${family}\`; in a recipe, \`["${id}", {}]\`. Source: [src/${family}/${file}](../../src/${family}/${file}).`,
    '<!-- end -->',
  ].join('\n')
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The page with what people wrote below the mark. */
function withOwnWords(path: string, written: string): string {
  const before = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const [, own = '\n'] = before.split('<!-- end -->')
  return `${written}${own}`
}

function list(found: readonly Found[]): string {
  const families = [...new Set(found.map((f) => f.family))]
  const tables = families.flatMap((family) => {
    const rows = found
      .filter((f) => f.family === family)
      .map(({ method: { id, help } }) => `| [${id}](${id}.md) | ${cell(help)} |`)
    return ['', `## ${family}`, '', '| method | what it does |', '|---|---|', ...rows]
  })
  return `# Methods\n\n<!-- ${note} -->\nEach is \`Model → Model\`, one file, and a step of a recipe. \`coppice methods\` lists them, \`coppice apply METHOD\` runs one alone.\n${tables.join('\n')}\n`
}

const found = await findMethods()
const pages = join(root, 'docs/methods')
const files = new Map([
  ...[...new Set(found.map((f) => f.family))].map((family): [string, string] => [
    join(root, 'src', family, 'index.ts'),
    familyTable(
      family,
      found.filter((f) => f.family === family),
    ),
  ]),
  ...found.map((f): [string, string] => {
    const path = join(pages, `${f.method.id}.md`)
    return [path, withOwnWords(path, page(f))]
  }),
  [join(pages, 'README.md'), list(found)],
])
for (const [path, text] of files) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) continue
  if (process.argv.includes('--check')) throw new Error(`${path}: it is out of date; npm run methods writes it anew`)
  writeFileSync(path, text)
}
