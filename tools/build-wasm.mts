/** Compiles each file of assembly/ and embeds it, as text, where it is used: `npm run build:wasm`. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstSign, perSign } from '../src/formats/wasm/compile.ts'

const targets = {
  integers: 'src/formats/wasm/generated/integers.ts',
  matrix: 'src/formats/matrix/wasm/generated/matrix.ts',
}

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'coppice-wasm-'))
const asc = join(root, 'node_modules/assemblyscript/bin/asc.js')
const options = [
  '-O3',
  '--converge',
  '--shrinkLevel',
  '1',
  '--noAssert',
  '--runtime',
  'stub',
  '--enable',
  'simd',
  '--enable',
  'bulk-memory',
]
/** A byte as a sign, or, from `perSign` on, one that says how many times that was taken off, and the sign of the rest. */
function textOf(byte: number): string {
  const times = Math.floor(byte / perSign)
  const signs = [...(times > 0 ? [perSign + times - 1] : []), byte % perSign]
  return String.fromCharCode(...signs.map((n) => firstSign + n))
}

for (const [name, target] of Object.entries(targets)) {
  const file = join(folder, `${name}.wasm`)
  const source = `assembly/${name}.ts`
  execFileSync(process.execPath, [asc, join(root, source), '-o', file, ...options], { stdio: 'inherit' })
  const text = Array.from(readFileSync(file), textOf).join('')
  writeFileSync(
    join(root, target),
    `/** Compiled from ${source} by \`npm run build:wasm\`. */\nexport const ${name}Wasm = ${JSON.stringify(text)}\n`,
  )
}
rmSync(folder, { recursive: true })
