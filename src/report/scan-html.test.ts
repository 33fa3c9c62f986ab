/** The page of a scan: every curve, its recommendation, and no script. */
import { expect, it } from 'vitest'
import type { ScanResult } from '../search/scan.ts'
import { renderScan } from './scan-html.ts'

const result: ScanResult = {
  measure: 'accuracy',
  reference: { accuracy: 0.9, loss: 0.3 },
  samples: 2000,
  sparsities: [0.3, 0.6, 0.9],
  maxLoss: 1,
  retrainEpochs: 0,
  curves: [
    {
      name: 'conv<1>',
      op: 'Conv',
      dims: [16, 3, 3, 3],
      points: [
        { sparsity: 0.3, accuracy: 0.88, loss: 0.4 },
        { sparsity: 0.6, accuracy: 0.895, loss: 0.3 },
        { sparsity: 0.9, accuracy: 0.5, loss: 2 },
      ],
      collapsed: false,
      recommended: 0.6,
    },
    {
      name: 'fc',
      op: 'Gemm',
      dims: [10, 64],
      points: [{ sparsity: 0.3, accuracy: 0.1, loss: 3 }],
      collapsed: true,
      recommended: 0,
    },
  ],
}

const render = (r: ScanResult): string =>
  renderScan(
    { title: 'Sensitivity', made: '2026-01-02T03:04:05Z', facts: [['data', 'digits']], environment: ['coppice'] },
    r,
  )

it('draws every measured point, rings the recommended one, and needs no other file', () => {
  const html = render(result)
  const lines = [...html.matchAll(/<polyline points="([^"]*)"/g)].map((m) => m[1].split(' '))
  expect(lines.map((points) => points.length)).toEqual([4, 2])
  const rings = [...html.matchAll(/<circle class="ring" cx="([^"]*)" cy="([^"]*)"/g)].map((m) => `${m[1]},${m[2]}`)
  expect(rings).toEqual([lines[0][2], lines[1][0]])
  const heights = lines[0].map((p) => Number(p.split(',')[1]))
  expect(heights[3]).toBeGreaterThan(heights[1])
  expect(heights[1]).toBeGreaterThan(heights[2])
  expect(html).toContain('conv&#60;1&#62;')
  expect(html).not.toMatch(/conv<1>|src=|href=|<script/)
})

it('draws all curves on one scale, down to the worst point', () => {
  const labels = [...render(result).matchAll(/text-anchor="end">([^<]*)</g)].map((m) => m[1])
  expect(labels.slice(0, 3)).toEqual(['10 %', '55 %', '100 %'])
  expect(labels.slice(3)).toEqual(labels.slice(0, 3))
})

it('warns where the network has memorised the samples', () => {
  expect(render(result)).not.toContain('memorised')
  expect(render({ ...result, reference: { accuracy: 1, loss: 0 } })).toContain('memorised')
})

it('says whether the points were measured after retraining', () => {
  expect(render(result)).toContain('without retraining')
  expect(render({ ...result, retrainEpochs: 3 })).toContain('at most 3 epochs of retraining')
})

it('says of numbers what it measured: nothing of classes, chance or memory', () => {
  const html = render({ ...result, measure: 'explained variance', reference: { accuracy: 0.999, loss: 0.1 } })
  expect(html).toContain('variance of the targets explained before')
  expect(html).not.toMatch(/top-1|chance|memorised|95 %:/i)
})
