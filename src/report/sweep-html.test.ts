/** The report on a sweep: what it says of rows. */
import { expect, test } from 'vitest'
import { exampleRows } from '../testing/sweep-rows.ts'
import { renderSweep } from './sweep-html.ts'

const page = { title: 'a <sweep>', made: '2026-01-02T03:04:05Z', facts: [], environment: ['here'] }

test('it has every combination once, the fronts, and what failed', () => {
  const html = renderSweep(page, exampleRows(['lenet5', 'resnet']))
  expect(html).toContain('<title>a &#60;sweep&#62;</title>')
  expect(html.match(/<svg viewBox="0 0 480/g)).toHaveLength(3)
  for (const share of [0.3, 0.5, 0.8, 0.9])
    expect(html.match(new RegExp(`scope="row">\\d magnitude sparsity=${share}<`, 'g'))).toHaveLength(2)
  expect(html).toContain('2 of them without a result')
  expect(html).toContain('int8: there is no data; expected samples to calibrate on')
  // Of the recipes that lose at most half a point: 0.98 - 0.3^4 / 10, by the mean of its seeds 0.0005 below.
  expect(html).toContain('1 magnitude sparsity=0.3 on lenet5: the most that loses at most half a point')
  expect(html).not.toMatch(/<script|https?:/)
})

test('without timing there is no chart of time; without rows there is still a page', () => {
  const untimed = exampleRows(['lenet5']).map(({ timed: _, ...row }) => row)
  const html = renderSweep(page, untimed)
  expect(html.match(/<svg viewBox="0 0 480/g)).toHaveLength(2)
  expect(html).not.toContain('per call')
  expect(renderSweep(page, [])).toContain('<strong>0</strong>')
})
