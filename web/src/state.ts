/** What the page knows, as signals, and what a person can do to it. */
import { batch, computed, signal } from '@preact/signals'
import { Pace, type Reached, type Recipe } from 'coppice'
import { Cancelled, callback, cancel as endWorker, inWorker } from './client.ts'
import type {
  Chosen,
  Compared,
  CompressOutcome,
  DataSummary,
  Made,
  MethodInfo,
  MethodOutcome,
  ModelSummary,
  Task,
  TrainPoint,
  Words,
} from './work/messages.ts'

export interface Job {
  readonly title: string
  readonly what: string
  readonly reached: Reached
}

/** Where a failure is told: beside what failed. */
export type Place = 'model' | 'data' | 'compress' | 'pack' | 'method' | 'recipe' | 'scan'

export const model = signal<{ readonly chosen: Chosen; readonly summary: ModelSummary } | undefined>()
export const data = signal<{ readonly chosen: Chosen; readonly summary: DataSummary } | undefined>()
/** How data is read, in the words of the option tables. */
export const reading = signal<Words>({})
export const job = signal<Job | undefined>()
export const failure = signal<{ readonly place: Place; readonly sentence: string } | undefined>()
export const said = signal<readonly string[]>([])

export const packed = signal<{ readonly made: Made; readonly before: number } | undefined>()
export const compressed = signal<CompressOutcome | undefined>()
export const compared = signal<readonly Compared[]>([])
export const methodList = signal<readonly MethodInfo[]>([])
export const changed = signal<MethodOutcome | undefined>()
export const scanned = signal<string | undefined>()
/** Of training that goes on, or was the last. */
export const curve = signal<readonly TrainPoint[]>([])
export const paused = signal(false)

export const busy = computed(() => job.value !== undefined)
export const seed = 0

function task(): Task {
  const { chosen } = model.value as { chosen: Chosen }
  return { model: chosen, ...(data.value ? { data: data.value.chosen } : {}), reading: reading.value, seed }
}

/** One piece of work at a time, with its progress; a failure is one sentence in its place. */
async function work<T>(
  place: Place,
  title: string,
  run: (tell: ReturnType<typeof callback>) => Promise<T>,
): Promise<T | undefined> {
  if (busy.value) return undefined
  const pace = new Pace()
  batch(() => {
    failure.value = undefined
    said.value = []
    job.value = { title, what: '', reached: pace.reach(0) }
  })
  const tell = callback((done: number, what: string) => {
    if (job.value) job.value = { title, what, reached: pace.reach(done) }
  })
  try {
    return await run(tell as never)
  } catch (error) {
    if (!(error instanceof Cancelled))
      failure.value = { place, sentence: error instanceof Error ? error.message : String(error) }
    return undefined
  } finally {
    job.value = undefined
  }
}

/** Stops what is being done. */
export function cancel(): void {
  endWorker()
}

export async function openModel(chosen: Chosen): Promise<void> {
  const summary = await work('model', 'Reading the model', () => inWorker((api) => api.open(chosen)))
  if (!summary) return
  batch(() => {
    model.value = { chosen, summary }
    data.value = undefined
    reading.value = {}
    forget()
  })
}

/** Results are of the model and the data that they were made of. */
function forget(): void {
  for (const result of [packed, compressed, changed, scanned]) result.value = undefined
  compared.value = []
  curve.value = []
}

export function closeModel(): void {
  batch(() => {
    model.value = undefined
    data.value = undefined
    failure.value = undefined
    forget()
  })
}

export async function openData(chosen: Chosen, words: Words = reading.value): Promise<void> {
  if (!model.value) return
  const { chosen: of } = model.value
  const wanted: Task = { model: of, data: chosen, reading: words, seed }
  const summary = await work('data', 'Reading the data', (tell) =>
    inWorker((api) => api.readData(wanted, tell as never)),
  )
  batch(() => {
    // What cannot be read is dropped again, but how it was to be read is kept, to mend it.
    reading.value = words
    data.value = summary ? { chosen, summary } : undefined
    unread.value = summary ? undefined : chosen
  })
}

/** Data that could not be read as it was told to be. */
export const unread = signal<Chosen | undefined>()

export function dropData(): void {
  batch(() => {
    data.value = undefined
    unread.value = undefined
    reading.value = {}
    failure.value = undefined
  })
}

export async function pack(mode: 'fast' | 'default' | 'max'): Promise<void> {
  if (!model.value) return
  const { chosen, summary } = model.value
  const made = await work('pack', 'Packing', (tell) => inWorker((api) => api.pack(chosen, mode, tell as never)))
  if (made) packed.value = { made, before: summary.fileBytes }
}

export async function unpack(): Promise<void> {
  if (!model.value) return
  const { chosen, summary } = model.value
  const made = await work('pack', 'Unpacking', () => inWorker((api) => api.unpack(chosen)))
  if (made) packed.value = { made, before: summary.fileBytes }
}

/** How many pictures are shown side by side. */
const picturesShown = 12

export async function compress(words: Words): Promise<void> {
  const of = task()
  const outcome = await work('compress', 'Compressing', (tell) => {
    const say = callback((sentence: string) => {
      said.value = [...said.value, sentence]
    })
    return inWorker((api) => api.compress(of, words, tell as never, say as never))
  })
  if (!outcome) return
  batch(() => {
    compressed.value = outcome
    compared.value = []
  })
  if (!of.data || !data.value?.summary.pictures) return
  const pictures = await work('compress', 'Trying your pictures', () =>
    inWorker((api) => api.compare(of, outcome.decoded, picturesShown)),
  )
  compared.value = pictures ?? []
}

export async function loadMethods(): Promise<void> {
  if (methodList.value.length > 0) return
  methodList.value = await inWorker((api) => api.methods())
}

/** Who waits for training to go on. */
const resumed: (() => void)[] = []

/** Pauses training after its present step, or lets it go on. */
export function pause(wanted: boolean): void {
  paused.value = wanted
  if (!wanted) for (const goOn of resumed.splice(0)) goOn()
}

export async function applyMethod(id: string, options: Words): Promise<void> {
  const of = task()
  curve.value = []
  const watch = callback(async (point: TrainPoint) => {
    curve.value = [...curve.value, point]
    while (paused.value) await new Promise<void>((resolve) => resumed.push(resolve))
  })
  const outcome = await work('method', `Applying ${id}`, (tell) =>
    inWorker((api) => api.apply(of, id, options, tell as never, watch as never)),
  )
  paused.value = false
  if (outcome) changed.value = outcome
}

/** Throws one sentence where the text is no recipe. */
export function readRecipe(text: string, name: string): Promise<Recipe> {
  return inWorker((api) => api.readRecipe(text, name))
}

export async function runRecipe(recipe: Recipe): Promise<void> {
  const of = task()
  const outcome = await work('recipe', 'Running the recipe', (tell) =>
    inWorker((api) => api.recipe(of, recipe, tell as never)),
  )
  if (outcome) changed.value = outcome
}

export async function scan(options: { samples: number; maxLoss: number }): Promise<void> {
  const of = task()
  const page = await work('scan', 'Scanning', (tell) => inWorker((api) => api.scan(of, options, tell as never)))
  if (page) scanned.value = page
}

export function fail(place: Place, error: unknown): void {
  failure.value = { place, sentence: error instanceof Error ? error.message : String(error) }
}
