/** The experiments' own arithmetic, and that committed tables are those of the committed results. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { lineChart } from '../experiments/_plot.mts'
import { leftByPaperRule } from '../experiments/quantisation-and-pruning/_paper.mts'
import { writeTables } from '../experiments/quantisation-and-pruning/_tables.mts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-experiments-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('the rule of Paupamah et al.', () => {
  // Counts that the paper's own code gives (the paper prints them as 879K, 815K, 28M, 22M, 5M).
  it.each([
    ['shufflenetV2', 0.3, 879_497],
    ['shufflenetV2', 0.35, 815_901],
    ['alexnet', 0.5, 28_517_728],
    ['alexnet', 0.6, 22_809_343],
    ['alexnet', 0.9, 5_698_932],
  ] as const)('leaves of %s at %d: %d', (net, s, left) => {
    expect(leftByPaperRule(net, s)).toBe(left)
  })
})

describe('a chart', () => {
  const curves = [
    {
      label: 'a<b',
      points: [
        [10, 91.2],
        [50, 90.1],
        [90, 71],
      ] as const,
    },
    {
      label: 'c',
      points: [
        [10, 90],
        [90, 50],
      ] as const,
    },
  ]
  const svg = lineChart(curves, { title: 'T & U', x: 'x', y: 'y', dashed: { label: 'reference', y: 91 } })
  it('has a line a curve, every point within the picture, and escaped words', () => {
    expect(svg.match(/<polyline /g)).toHaveLength(2)
    expect(svg).toContain('T &#38; U')
    expect(svg).not.toContain('a<b')
    const points = [...svg.matchAll(/points="([^"]+)"/g)].flatMap((m) =>
      m[1].split(' ').map((p) => p.split(',').map(Number)),
    )
    expect(points).toHaveLength(5)
    for (const [x, y] of points) {
      expect(x >= 60 && x <= 510).toBe(true)
      expect(y >= 44 && y <= 370).toBe(true)
    }
  })
})

const results = join(import.meta.dirname, '../experiments/quantisation-and-pruning/results')
describe('the tables', () => {
  it('say what was not run, where there is no result', async () => {
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    await writeTables(empty)
    const text = readFileSync(join(empty, 'README.md'), 'utf8')
    expect(text).toContain('Not run on Fashion-MNIST: MobileNetV2, ShuffleNetV2, AlexNet')
  })
  it.skipIf(!existsSync(results))('are those of the result files', async () => {
    const copy = join(folder, 'copy')
    await cp(results, copy, { recursive: true })
    await writeTables(copy)
    expect(readFileSync(join(copy, 'README.md'), 'utf8')).toBe(readFileSync(join(results, 'README.md'), 'utf8'))
  })
})
