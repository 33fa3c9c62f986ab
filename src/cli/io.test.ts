/** What the command line says while it works. */
import { afterEach, expect, it, vi } from 'vitest'
import { createIo } from './io.ts'

afterEach(() => vi.restoreAllMocks())

/** An Io whose clock is at hand, and the lines that it wrote. */
function recorded(json: boolean) {
  const lines: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0)
  let ms = 0
  const io = createIo(json, () => ms)
  const at = (time: number, done: number): void => {
    ms = time
    io.progress(done, 'training')
  }
  return { io, lines, at }
}

it('reckons the time left from where a run went on, and anew when another step begins', () => {
  const { lines, at } = recorded(false)
  at(2_000, 0.5)
  at(12_000, 0.6)
  at(20_000, 0.01)
  at(30_000, 0.51)
  expect(lines.map((l) => l.trim())).toEqual([
    '50 %, 2 s: training',
    '60 %, 12 s, about 40 s left: training',
    '1 %, 20 s: training',
    '51 %, 30 s, about 10 s left: training',
  ])
})

it('begins anew after a step that was over, wherever the next one starts', () => {
  const { lines, at } = recorded(false)
  at(2_000, 0)
  at(12_000, 1)
  at(17_000, 0.03)
  at(22_000, 0.53)
  expect(lines.slice(2).map((l) => l.trim())).toEqual(['3 %, 17 s: training', '53 %, 22 s, about 5 s left: training'])
})

it('tells milestones as text, and with --json as lines of their own', () => {
  const people = recorded(false)
  people.io.milestone('epoch 1: good', { event: 'epoch' })
  expect(people.lines).toEqual(['epoch 1: good\n'])
  vi.restoreAllMocks()
  const machines = recorded(true)
  const event = { event: 'epoch', epoch: 0, loss: 0.5 }
  machines.io.milestone('epoch 1: good', event)
  machines.io.say('only for people')
  expect(machines.lines.map((l) => JSON.parse(l))).toEqual([event])
})
