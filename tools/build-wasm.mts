/** Compiles assembly/integers.ts and embeds it, as base64, in src/formats/wasm/generated/integers.ts: `npm run build:wasm`. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'coppice-wasm-'))
const file = join(folder, 'integers.wasm')
const asc = join(root, 'node_modules/assemblyscript/bin/asc.js')
const options = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--enable', 'bulk-memory']
execFileSync(process.execPath, [asc, join(root, 'assembly/integers.ts'), '-o', file, ...options], { stdio: 'inherit' })
const base64 = readFileSync(file).toString('base64')
writeFileSync(
  join(root, 'src/formats/wasm/generated/integers.ts'),
  `/** Compiled from assembly/integers.ts by \`npm run build:wasm\`. */\nexport const integersWasm = '${base64}'\n`,
)
rmSync(folder, { recursive: true })
