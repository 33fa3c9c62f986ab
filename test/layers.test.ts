/** The folders of src/ and what each may import: the architecture, held by a test. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const src = join(import.meta.dirname, '../src')

/** From the ground up; a folder imports from those it names and from the files of src/ itself. */
const layers: Readonly<Record<string, string>> = {
  tensor: '',
  onnx: 'tensor',
  // Shapes need a look around the graph; raising a graph's operator set needs shapes.
  ops: 'graph tensor',
  graph: 'ops tensor',
  runtime: 'onnx',
  formats: 'onnx tensor',
  grad: 'graph ops tensor',
  zoo: 'graph tensor',
  data: 'formats tensor',
  calibrate: 'graph runtime tensor',
  // What outputs mean: training learns it, searches and reports judge it.
  task: 'data graph ops runtime tensor',
  train: 'data formats grad graph onnx ops runtime task tensor',
  quantize: 'calibrate data formats graph ops runtime task tensor',
  prune: 'calibrate data formats grad graph onnx ops runtime task tensor train',
  evaluate: 'data graph ops prune runtime task tensor train',
  compress: 'calibrate data evaluate formats graph onnx quantize runtime task tensor',
  // Rows say why a weight could not be put on a grid, which calibrate/ knows.
  report: 'calibrate data evaluate formats graph runtime task tensor train',
  node: 'data formats graph onnx tensor train',
  // The package's subpaths (package.json, "exports"): nothing in src/ imports from here. What needs Node is in node/.
  exports: 'compress data evaluate formats grad graph onnx ops prune quantize report runtime task train zoo',
}

/** Files under src/ that are shipped, as paths with forward slashes. */
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((name) => relative(src, join(src, name)).replaceAll('\\', '/'))
  .filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name) && !name.startsWith('testing/'))

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, path]) => path)
}

describe('imports', () => {
  test.each(Object.entries(layers))('%s imports only from: %s', (folder, allowed) => {
    const may = new Set([folder, ...allowed.split(' ')])
    const own = files.filter((file) => file.startsWith(`${folder}/`))
    expect(own.length).toBeGreaterThan(0)
    for (const file of own) {
      for (const path of importsOf(file).filter((p) => p.startsWith('.'))) {
        const target = posix.join(posix.dirname(file), path)
        const [into, ...below] = target.split('/')
        if (below.length > 0) expect(may, `${file} imports ${target}`).toContain(into)
      }
    }
  })

  test('nothing imports from exports/, which is for users', () => {
    for (const file of files.filter((name) => !name.startsWith('exports/')))
      expect(
        importsOf(file).filter((path) => /(^|\/)exports\//.test(path)),
        file,
      ).toEqual([])
  })

  test('only node/ and cli/ know Node', () => {
    for (const file of files.filter((name) => !/^(node|cli)\//.test(name)))
      expect(
        importsOf(file).filter((path) => path.startsWith('node:')),
        file,
      ).toEqual([])
  })

  test('what starts with _ is read in its own folder alone, and the folders in it', () => {
    for (const file of files) {
      for (const path of importsOf(file).filter((p) => /^\..*\/_[^/]*$/.test(p))) {
        const home = posix.dirname(posix.join(posix.dirname(file), path))
        expect(file.startsWith(`${home}/`), `${file} imports ${path}`).toBe(true)
      }
    }
  })

  test('every folder is listed', () => {
    const folders = new Set(files.filter((file) => file.includes('/')).map((file) => file.split('/')[0]))
    expect([...folders].filter((f) => f !== 'cli').sort()).toEqual(Object.keys(layers).sort())
  })
})
