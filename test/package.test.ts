/**
 * The package as a user gets it: packed, unpacked into an empty project, type-checked strictly in both ways that TypeScript
 * resolves modules, imported by every subpath; the code of README.md and docs/ run in Node; a page built with Vite and run.
 * The built package (`npm run build`) is what is packed.
 */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { missing, withPage } from './_chromium.ts'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules/.bin')
const project = mkdtempSync(join(tmpdir(), 'coppice-package-'))
const installed = join(project, 'node_modules/coppice')
const run = promisify(execFile)
afterAll(() => rmSync(project, { recursive: true, force: true }))

/** What `npm install coppice onnxruntime-node onnxruntime-web @types/node` would put beside the package. */
const dependencies = ['commander', 'ml-matrix', 'onnxruntime-common', 'onnxruntime-node', 'onnxruntime-web', '@types']

const strict = {
  compilerOptions: {
    strict: true,
    // Declarations of the package are checked as well.
    skipLibCheck: false,
    target: 'ES2023',
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    types: ['node'],
    module: 'nodenext',
    moduleResolution: 'nodenext',
    rootDir: '.',
    outDir: 'out',
  },
  include: ['*.ts', 'blocks/*.ts'],
}
const bundled = {
  extends: './tsconfig.json',
  compilerOptions: { module: 'esnext', moduleResolution: 'bundler', noEmit: true },
}

interface Block {
  /** The file's name, without its ending. */
  readonly name: string
  readonly where: string
  readonly code: string
}

/** The JavaScript and TypeScript of README.md and all pages in docs/. */
function codeBlocks(): Block[] {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name))
  return ['README.md', ...docs.filter((name) => name.endsWith('.md')).sort()].flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8')
    return [...text.matchAll(/^```(?:ts|js|mjs|typescript|javascript)\n([\s\S]*?)^```$/gm)].map(
      ({ 1: code, index }) => {
        const line = text.slice(0, index).split('\n').length
        return { name: `${page.replace(/\.md$/, '').replace(/\W+/g, '-')}-${line}`, where: `${page}:${line}`, code }
      },
    )
  })
}

const blocks = codeBlocks()

/** The files that the documents' code reads; `fetch` gives those of the folder, as a page's server would. */
const prepare = `
import { writeFileSync } from 'node:fs'
import { packModel, writeModel } from 'coppice'
import { drawDigits, bindSplits } from 'coppice/data'
import { train } from 'coppice/train'
import { lenet5 } from 'coppice/zoo'

const digits = drawDigits(500, 1)
const network = lenet5({ seed: 1, width: 0.3 })
const { batcher } = bindSplits(network, { train: digits, test: digits }, { range: [0, 1] })
const { model } = await train(network, digits, { batcher, epochs: 2, batchSize: 50, learningRate: 0.05 })
for (const name of ['model.onnx', 'lenet5.onnx']) writeFileSync(name, writeModel(model))
writeFileSync('net.cop', packModel(model))
`
const served = `
import { readFileSync } from 'node:fs'
globalThis.fetch = async (url) => new Response(readFileSync(String(url)))
`

beforeAll(async () => {
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as { filename: string }[]
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(project, filename), '-C', installed, '--strip-components=1'])
  for (const name of dependencies) symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
  cpSync(join(import.meta.dirname, 'consumer'), project, { recursive: true })
  mkdirSync(join(project, 'blocks'))
  for (const { name, code } of blocks) writeFileSync(join(project, `blocks/${name}.ts`), code)
  const files = { 'package.json': { type: 'module' }, 'tsconfig.json': strict, 'tsconfig.bundler.json': bundled }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(project, name), JSON.stringify(content))
  writeFileSync(join(project, 'prepare.mjs'), prepare)
  writeFileSync(join(project, 'served.mjs'), served)
  await node('prepare.mjs')
})

/** What a command prints; where it fails, an error with that. */
async function output(command: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(command, args, { cwd: project })
    return stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${stdout}${stderr}`)
  }
}

const node = (...args: string[]): Promise<string> => output(process.execPath, args)

describe('the packed package', () => {
  it('has a subpath for every file of src/exports, and they are there', async () => {
    const { exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      exports: Record<string, string | { types: string; default: string }>
    }
    const sources = readdirSync(join(root, 'src/exports')).filter((name) => name.endsWith('.ts'))
    const files = sources.map((name) => name.replace(/\.ts$/, ''))
    const subpaths = files.map((name) => (name === 'index' ? '.' : `./${name}`))
    expect(Object.keys(exports).sort()).toEqual([...subpaths, './node', './runtime', './package.json'].sort())
    const used = readFileSync(join(project, 'every-subpath.ts'), 'utf8')
    for (const subpath of Object.keys(exports).filter((name) => name !== './package.json'))
      expect(used).toContain(`from 'coppice${subpath.slice(1)}'`)
  })

  it('has the files that README.md links to', () => {
    const readme = readFileSync(join(installed, 'README.md'), 'utf8')
    const targets = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target)
    expect(targets.length).toBeGreaterThan(5)
    for (const target of targets) expect(() => readFileSync(join(installed, target)), target).not.toThrow()
  })

  it('holds what the pages of methods say: NAME of coppice/FAMILY', async () => {
    const folder = join(installed, 'docs/methods')
    const said = readdirSync(folder).flatMap((page) => [
      ...readFileSync(join(folder, page), 'utf8').matchAll(/`(\w+)` of `(coppice\/\w+)`/g),
    ])
    expect(said.length).toBeGreaterThan(15)
    const script = `for (const [name, from] of ${JSON.stringify(said.map(([, name, from]) => [name, from]))})
      if (typeof (await import(from))[name] !== 'function') throw new Error(name + ' is not in ' + from)`
    await node('--input-type=module', '--eval', script)
  })

  it('imports Node’s modules from coppice/node alone', () => {
    const seen = new Set<string>()
    const visit = (file: string): void => {
      if (seen.has(file)) return
      seen.add(file)
      for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
        if (path.startsWith('.')) visit(join(dirname(file), path))
        else expect(path, relative(installed, file)).not.toMatch(/^node:/)
      }
    }
    const folder = join(installed, 'dist/exports')
    for (const name of readdirSync(folder).filter((n) => n.endsWith('.js'))) visit(join(folder, name))
    visit(join(installed, 'dist/runtime-only.js'))
    expect(seen.size).toBeGreaterThan(100)
  })
})

it('has a command', async () => {
  expect(await node(join(installed, 'dist/cli/main.js'), 'inspect', 'model.onnx')).toMatch(/Conv/)
})

it('says which packages the queue of a sweep needs, and sweeps without one', async () => {
  const recipes = [{ steps: [['share', { values: 8 }]] }]
  const spec = { coppice: 1, models: ['model.onnx'], data: ['digits:40'], recipes, latency: false }
  writeFileSync(join(project, 'sweep.json'), JSON.stringify(spec))
  // Hides what a folder above the temporary one may have.
  mkdirSync(join(project, 'node_modules/pg-boss'))
  const command = [join(installed, 'dist/cli/main.js'), 'sweep', 'sweep.json', '-o', 'swept']
  await expect(node(...command)).rejects.toThrow(
    /sweep: the package pg-boss is not installed; expected it after `npm install pg-boss@12 @electric-sql\/pglite@0.5`/,
  )
  expect(await node(...command, '--workers', '0')).toContain('wrote swept/report.html')
})

describe('a program that uses it', () => {
  it('is typed by moduleResolution nodenext and bundler, and runs', async () => {
    const types = [[], ['-p', 'tsconfig.bundler.json']].map((args) => output(join(bin, 'tsc'), args))
    expect(await Promise.all(types)).toEqual(['', ''])
    expect(await node('out/every-subpath.js')).toBe('every subpath works\n')
  })

  // Typed above, where they are also made JavaScript.
  it.concurrent.each(blocks)('$where runs', async ({ name }) => {
    await node('--import', './served.mjs', `out/blocks/${name}.js`)
  })

  it('is built into a page by Vite', async () => {
    await output(join(bin, 'vite'), ['build', '--logLevel', 'error'])
    expect(readdirSync(join(project, 'dist/assets')).some((name) => name.endsWith('.wasm'))).toBe(true)
  })

  it.skipIf(missing)(`compresses and packs in Chromium${missing}`, async () => {
    const folder = join(project, 'dist')
    const files = new Map([['/index.html', readFileSync(join(folder, 'index.html'))]])
    await withPage({ folders: { '/': folder }, files }, async (page) => {
      await page.goto(new URL('/index.html', page.url()).href)
      await page.waitForFunction(`document.title !== 'coppice'`)
      const found = await page.title()
      expect(found).toMatch(/^\{/)
      const { before, after, holds, dims } = JSON.parse(found)
      expect(after).toBeLessThan(before / 4)
      expect({ holds, dims }).toEqual({ holds: true, dims: [1, 10] })
    })
  })
})
