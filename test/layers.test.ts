/** The folders of src/ and what each may import: the architecture, held by a test. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const src = join(import.meta.dirname, '../src')

/** Files of src/ itself that everyone may import: plain types and small pieces. */
const ground = [
  'checksum',
  'errors',
  'method',
  'model',
  'numbers',
  'options',
  'progress',
  'shown-name',
  'speed-up',
  'workers',
]

/** From the ground up: what each folder, and each other file of src/ itself, imports from. */
const layers: Readonly<Record<string, string>> = {
  tensor: '',
  onnx: 'tensor',
  graph: 'tensor',
  ops: 'graph tensor',
  simplify: 'graph ops tensor',
  inspect: 'graph ops simplify tensor',
  channels: 'graph ops simplify tensor',
  formats: 'onnx tensor',
  // A packed model is opened as an ONNX one is.
  runtime: 'formats onnx',
  grad: 'graph ops simplify tensor',
  zoo: 'graph tensor',
  data: 'formats tensor',
  calibrate: 'graph ops runtime simplify tensor',
  // What outputs mean: training learns it, searches and reports judge it.
  task: 'data graph ops runtime tensor',
  train: 'data formats grad graph onnx ops runtime simplify task tensor',
  // Inputs made from a model alone, by gradients.
  invent: 'data grad graph ops runtime simplify tensor',
  // Training under quantisation is a regime that needs what quantisers know of a graph.
  quantize: 'calibrate channels data formats graph inspect ops runtime simplify task tensor train',
  evaluate: 'data graph inspect onnx ops runtime simplify task tensor',
  // A budget of latency is measured.
  prune: 'calibrate channels data evaluate formats grad graph inspect onnx ops runtime simplify task tensor train',
  // Layers are timed beside their factors.
  factorize: 'calibrate evaluate graph ops runtime simplify tensor',
  // Methods that train further; one gives a network another last layer, another says which model a checkpoint is of.
  retrain: 'channels data graph onnx ops prune quantize simplify tensor train',
  'methods.ts': 'factorize prune quantize retrain simplify',
  'recipe.ts': 'methods.ts task',
  // How far a model may be pruned, quantised, thinned: knobs, the ways to set them, and what judges them.
  // What is smallest is known once it is packed; a search that trains is kept in a checkpoint with its models.
  search:
    'calibrate data evaluate formats graph inspect onnx ops prune quantize recipe.ts runtime simplify task tensor train',
  // A recipe that trains resumes.
  compress: 'data evaluate formats graph methods.ts onnx quantize recipe.ts search simplify task tensor train',
  sweep: 'compress data evaluate formats onnx recipe.ts tensor train',
  // Rows say why a weight could not be put on a grid, which calibrate/ knows.
  report: 'calibrate compress data evaluate formats graph recipe.ts runtime search simplify sweep task tensor train',
  // What threads do, and pools of them.
  threads: 'formats quantize',
  // A sweep's models and data are read as those of commands.
  node: 'data evaluate formats graph invent onnx runtime search simplify sweep tensor threads train',
  // What people import (package.json, "exports"): nothing in src/ imports from these. What needs Node is in node/.
  'runtime-only.ts': 'formats',
  exports:
    'channels compress data evaluate factorize formats grad graph inspect methods.ts onnx ops prune quantize recipe.ts retrain report runtime search simplify sweep task threads train zoo',
}

/** Files under src/ that are shipped, as paths with forward slashes. */
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((name) => relative(src, join(src, name)).replaceAll('\\', '/'))
  .filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name) && !name.startsWith('testing/'))

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, path]) => path)
}

/** The entry of the table that a file belongs to: its folder, or itself where it lies in src/. */
const roomOf = (file: string): string => file.split('/')[0]
const isGround = (room: string): boolean => ground.includes(room.replace(/\.ts$/, ''))

describe('imports', () => {
  test.each(Object.entries(layers))('%s imports only from: %s', (room, allowed) => {
    const may = new Set([room, ...allowed.split(' ')])
    const own = files.filter((file) => roomOf(file) === room)
    expect(own.length).toBeGreaterThan(0)
    for (const file of own) {
      for (const path of importsOf(file).filter((p) => p.startsWith('.'))) {
        const target = posix.join(posix.dirname(file), path)
        if (!isGround(roomOf(target))) expect(may, `${file} imports ${target}`).toContain(roomOf(target))
      }
    }
  })

  test('what a room imports from stands above it in the table, so there is no circle', () => {
    const rooms = Object.keys(layers)
    for (const [i, [room, allowed]] of Object.entries(layers).entries())
      for (const from of allowed.split(' ').filter(Boolean))
        expect(rooms.slice(0, i), `${room}: ${from}`).toContain(from)
  })

  test('files that everyone may import take types alone from elsewhere, and element types from tensor/', () => {
    for (const name of ground) {
      const text = readFileSync(join(src, `${name}.ts`), 'utf8')
      const values = [...text.matchAll(/^import (?!type )[^']*'([^']+)'/gm)].map(([, path]) => posix.join(path))
      expect(
        values.filter((path) => !isGround(path) && path !== 'tensor/dtype.ts'),
        name,
      ).toEqual([])
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

  test('every folder and file of src/ is listed', () => {
    const rooms = new Set(files.map(roomOf).filter((room) => room !== 'cli' && !isGround(room)))
    expect([...rooms].sort()).toEqual(Object.keys(layers).sort())
  })
})
