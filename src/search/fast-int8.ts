/**
 * The search for an int8 model that keeps layers in float where integers cost accuracy, or time in a measured run. Its knob is
 * the list of layers in float.
 *
 * Accuracy: each layer alone on integers shows how much noise it adds to the output; those with most noise for the
 * multiply-adds that they have go back to float until the limit holds, and whichever still fits returns to integers. Time:
 * layers are grouped by the kernel that they use, and a group goes back to float where that shows to be faster by more than
 * the margin; a processor's integer kernels differ that much. Where what is left on integers shows to be slower than the
 * model was, all of it stays in float.
 */
import type { DataHandle } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import { describe } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { checkOptions } from '../options.ts'
import { calibrateInt8, type Int8Options, int8, integerNode, prepareInt8, quantizeInt8 } from '../quantize/int8.ts'
import { kernelGroups, layerNames, layerNoise } from '../quantize/int8-layers.ts'
import { type SpeedUp, speedInWords, speedVerdict } from '../speed-up.ts'
import type { Verdict } from '../task/verdict.ts'
import type { Found, Knob, Search, VerdictOf } from './knob.ts'
import { firstThatHolds, withoutNeedless } from './strategies.ts'

export interface FastOptions extends Context {
  readonly data: DataHandle
  /** How much faster `after` is than `before`, from one interleaved run. */
  readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp>
  readonly int8?: Partial<Int8Options>
  /** A group goes back to float only where the whole model is faster by this share; default 0.03. */
  readonly margin?: number
  /** Why the nodes that `int8` excludes are in float; default: asked for. */
  readonly whyExcluded?: string
}

/** `kept` says why a layer is in float, by its name (its first output where it has none). */
export interface FastInt8 extends Found {
  /** Beside the float model; left out where that is the result. */
  readonly speedUp?: SpeedUp
  /** How every layer on integers stood, where that broke the limit. */
  readonly allIntegers?: Verdict
}

export interface FastSearch extends Search {
  find(verdictOf: VerdictOf): Promise<FastInt8>
}

/** The search for the fast int8 form of a float32 model; one that computes on integers already is left as it is, with a note. */
export async function openFastInt8(model: Model, options: FastOptions): Promise<FastSearch> {
  const { compareSpeed } = options
  const settings = checkOptions(int8.id, int8.options, options.int8)
  const otherwise = 'no integer kernel multiplies with it'
  const already = integerNode(model)
  if (already) {
    const notes = [`the model is left as it is: ${describe(already)} computes on integers already`]
    const left = { model, steps: [[int8.id, { excludeNodes: [] }] as const], kept: new Map(), otherwise, notes }
    return {
      id: int8.id,
      first: async () => model,
      find: async (verdictOf) => ({ ...left, verdict: await verdictOf(model) }),
    }
  }
  const prepared = await prepareInt8(model, settings, options)
  const calibrated = await calibrateInt8(prepared, settings, options)
  const layers = layerNames(prepared.graph)
  const knob: Knob<readonly string[]> = {
    id: int8.id,
    start: settings.excludeNodes,
    at: async (excludeNodes) => ({
      // With no layer on integers it is the model as it was, as int8 gives it too.
      model: layers.every((name) => excludeNodes.includes(name))
        ? model
        : quantizeInt8(prepared, calibrated, { ...settings, excludeNodes: [...excludeNodes] }),
      steps: [[int8.id, { excludeNodes }]],
    }),
  }
  return {
    id: knob.id,
    first: async () => (await knob.at(knob.start)).model,
    async find(verdictOf) {
      const { signal, progress, margin = 0.03, whyExcluded = 'asked for' } = options
      let compared = 0
      const timed = (before: Model, after: Model): Promise<SpeedUp> => {
        progress?.(compared / (compared + usuallyLeft), 'measuring the speed on integers')
        compared++
        return compareSpeed(before, after)
      }
      const run: Run = {
        knob,
        noise: () => layerNoise(prepared, calibrated, { ...options, settings }),
        groups: (kept) => kernelGroups(prepared.graph, kept),
        verdictAt: async (kept) => verdictOf((await knob.at(kept)).model),
        compareSpeed: timed,
        margin,
        signal,
      }
      const kept = new Map<string, string>(knob.start.map((name) => [name, whyExcluded]))
      const whole = await run.verdictAt(knob.start)
      const accuracy = whole.spent <= 1 ? [] : await keepForAccuracy(run, kept)
      for (const [name, why] of accuracy) kept.set(name, why)
      const slower = await keepForSpeed(run, kept)
      for (const [name, why] of slower) kept.set(name, why)
      // What is in float for its speed leaves room.
      if (slower.length > 0 && accuracy.length > 0) {
        const names = accuracy.map(([name]) => name)
        const still = await fewest(run, { kept, names })
        for (const name of names) if (!still.includes(name)) kept.delete(name)
      }
      const onIntegers = (): string[] => layers.filter((name) => !kept.has(name))
      let result = await knob.at([...kept.keys()])
      let speedUp = result.model === model ? undefined : await timed(model, result.model)
      if (speedUp && speedVerdict(speedUp) === 'slower' && speedUp.median < 1 - margin) {
        for (const name of onIntegers()) kept.set(name, `speed: on integers the model is ${speedInWords(speedUp)}`)
        result = await knob.at([...kept.keys()])
        speedUp = undefined
      }
      const verdict = await verdictOf(result.model)
      const notes = [`${onIntegers().length} of ${layers.length} layers compute on integers`]
      if (result.model === model) notes.push('all layers are left in float')
      if (verdict.spent > 1) notes.push('more is lost than is allowed')
      return {
        ...result,
        verdict,
        kept,
        otherwise,
        notes,
        ...(speedUp ? { speedUp } : {}),
        ...(whole.spent > 1 ? { allIntegers: whole } : {}),
      }
    },
  }
}

/** Comparisons of speed that are still to come, about, whenever one begins: for progress alone. */
const usuallyLeft = 3

/** What one run of the search asks. */
interface Run extends Pick<Context, 'signal'> {
  readonly knob: Knob<readonly string[]>
  noise(): ReturnType<typeof layerNoise>
  groups(kept: ReadonlySet<string>): Map<string, string[]>
  verdictAt(kept: readonly string[]): Promise<Verdict>
  compareSpeed(before: Model, after: Model): Promise<SpeedUp>
  readonly margin: number
}

/** Of a model that breaks the limit, the layers that go back to float to hold it: none of them may stay on integers too. */
async function keepForAccuracy(run: Run, kept: ReadonlyMap<string, string>): Promise<[string, string][]> {
  const ranked = (await run.noise()).filter((l) => !kept.has(l.node))
  const names = ranked.map((l) => l.node)
  const count = await firstThatHolds(
    names.length,
    async (n) => (await run.verdictAt([...kept.keys(), ...names.slice(0, n)])).spent <= 1,
  )
  const needed = await fewest(run, { kept, names: names.slice(0, count) })
  return ranked
    .filter((l) => needed.includes(l.node))
    .map((l) => [l.node, `accuracy: alone on integers it gives ${l.snrDb.toFixed(1)} dB`])
}

/** Most layers that are tried on integers again: each costs a judgement of the whole model. */
const mostReturns = 24

/** Those of `names` without which in float the limit breaks. The last, least noisy for its work, returns first. */
function fewest(
  run: Run,
  { kept, names }: { kept: ReadonlyMap<string, string>; names: readonly string[] },
): Promise<readonly string[]> {
  const others = [...kept.keys()].filter((name) => !names.includes(name))
  return withoutNeedless(
    names,
    async (fewer) => {
      stopIfAborted(run.signal, 'speed')
      return (await run.verdictAt([...others, ...fewer])).spent <= 1
    },
    mostReturns,
  )
}

/** Groups of layers and of elementwise operators that are faster in float, found one at a time, best first. */
async function keepForSpeed(run: Run, kept: ReadonlyMap<string, string>): Promise<[string, string][]> {
  const { knob, compareSpeed, margin } = run
  const more: [string, string][] = []
  const groups = run.groups(new Set(kept.keys()))
  // A single group is all of it: without it nothing would be left on integers.
  while (groups.size > 1) {
    stopIfAborted(run.signal, 'speed')
    const inFloat = [...kept.keys(), ...more.map(([name]) => name)]
    const { model: now } = await knob.at(inFloat)
    const faster = (speedUp: SpeedUp): boolean =>
      speedVerdict(speedUp) === 'faster' && speedUp.median > 1 / (1 - margin)
    let best: { label: string; members: readonly string[]; without: Model; speedUp: SpeedUp } | undefined
    for (const [label, members] of groups) {
      const { model: without } = await knob.at([...inFloat, ...members])
      const speedUp = await compareSpeed(now, without)
      if (faster(speedUp) && speedUp.median > (best?.speedUp.median ?? 0)) best = { label, members, without, speedUp }
    }
    if (!best) break
    // The best of several noisy times flatters: it must hold in a run of its own.
    const { label, members, without } = best
    const alone = await compareSpeed(now, without)
    groups.delete(label)
    if (!faster(alone)) continue
    const why = `speed: with ${label} in float the model is ${speedInWords(alone)}`
    more.push(...members.map((name): [string, string] => [name, why]))
  }
  return more
}
