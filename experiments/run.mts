/**
 * Runs an experiment: `npm run experiment -- NAME [arguments]`, where NAME is a folder with a run.mts or a script in one
 * (experiments/FOLDER/NAME.mts). The script takes its arguments as if it had been called itself.
 */
import { readdirSync } from 'node:fs'

const [name = '', ...rest] = process.argv.slice(2)
const here = new URL('./', import.meta.url)
const folders = readdirSync(here, { withFileTypes: true }).flatMap((f) => (f.isDirectory() ? [f.name] : []))
const scripts = new Map(
  folders.flatMap((folder) =>
    readdirSync(new URL(`${folder}/`, here))
      .filter((f) => f.endsWith('.mts') && !f.startsWith('_'))
      .map((f) => [f === 'run.mts' ? folder : f.slice(0, -4), new URL(`${folder}/${f}`, here)] as const),
  ),
)
const script = scripts.get(name)
if (!script) {
  console.error(`experiment: there is no "${name}"; expected one of ${[...scripts.keys()].sort().join(', ')}`)
  process.exit(2)
}
process.argv.splice(2, Number.POSITIVE_INFINITY, ...rest)
await import(script.href)
