/**
 * Option tables. One table makes the types, defaults and checks of a method's or command's options, its flags, its help and its
 * reference page.
 */
import { didYouMean } from './errors.ts'

interface Described {
  /** One line of help; of a boolean it begins with a verb and says what true does. */
  readonly help: string
  /** What stands for the value in help, such as `file`. */
  readonly value?: string
  /** A one-letter flag beside the long one. */
  readonly short?: string
  /** Its name in recipes of before. */
  readonly was?: string
  /** Of other options of the table, what they must be for this one to be read: giving it is an error else. */
  readonly onlyWith?: Readonly<Record<string, Condition>>
}

/** One of some values; or whether the option is given; or a number that is not zero. */
type Condition = readonly (string | boolean)[] | 'given' | 'not given' | 'above 0'

/** A default; or `optional`: undefined unless given; or `required`: an error unless given. */
type Given<T> =
  | { readonly default: T; readonly optional?: undefined; readonly required?: undefined }
  | { readonly optional: true; readonly default?: undefined; readonly required?: undefined }
  | { readonly required: true; readonly default?: undefined; readonly optional?: undefined }

interface Bounds {
  readonly min?: number
  readonly max?: number
  readonly integer?: boolean
}

export type OptionDef = Described &
  (
    | (Given<number> & Bounds & { readonly type: 'number' })
    | (Given<string> & { readonly type: 'choice'; readonly of: readonly string[] })
    | (Given<boolean> & { readonly type: 'boolean' })
    /** `writes`: how the name of a file that is written is to end. */
    | (Given<string> & { readonly type: 'string'; readonly writes?: '.onnx' | '.cop' | '.html' | '.json' })
    /** `repeatable`: the flag is given once for each string, which may then hold commas. */
    | (Given<readonly string[]> & { readonly type: 'strings'; readonly repeatable?: boolean })
    | (Given<readonly number[]> & Bounds & { readonly type: 'numbers' })
    /** A number for each name, such as a step for each tensor. */
    | (Given<Readonly<Record<string, number>>> & { readonly type: 'numbers-by-name' })
  )

export type OptionTable = Readonly<Record<string, OptionDef>>

type ValueOf<D extends OptionDef> =
  | (D extends { type: 'number' }
      ? number
      : D extends { type: 'choice'; of: readonly (infer C)[] }
        ? C
        : D extends { type: 'boolean' }
          ? boolean
          : D extends { type: 'string' }
            ? string
            : D extends { type: 'strings' }
              ? readonly string[]
              : D extends { type: 'numbers' }
                ? readonly number[]
                : Readonly<Record<string, number>>)
  | (D extends { optional: true } ? undefined : never)

export type OptionsOf<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> }

/** Fills in defaults and checks every value; `subject` (the method's id) begins each error. */
export function checkOptions<T extends OptionTable>(
  subject: string,
  table: T,
  given: Partial<OptionsOf<T>> = {},
): OptionsOf<T> {
  const known = Object.keys(table)
  const former = new Map(Object.entries(table).flatMap(([name, { was }]) => (was ? [[was, name] as const] : [])))
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    const now = Object.hasOwn(table, name) ? name : former.get(name)
    if (now === undefined)
      throw new Error(
        `${subject}: there is no option "${name}"${didYouMean(name, known)}; expected ${known.join(', ') || 'none'}`,
      )
    values[now] = value
  }
  const checked: Record<string, unknown> = {}
  for (const [name, def] of Object.entries(table)) {
    const value = values[name] ?? def.default
    checked[name] = value
    if (value === undefined && def.optional) continue
    if (!isValid(def, value)) {
      const got = typeof value === 'object' ? JSON.stringify(value) : String(value)
      const near = def.type === 'choice' ? didYouMean(got, def.of) : ''
      throw new Error(`${subject}: ${name} must be ${expected(def)}, got ${got}${near}`)
    }
  }
  // Recipes may hold every option: of those nothing is read of, that is as good as its default.
  const unread = whyUnread(table, checked, { isGiven: (name) => isSet(table[name], checked[name]) })
  if (unread) throw new Error(`${subject}: ${unread}`)
  return checked as OptionsOf<T>
}

interface Reading {
  isGiven(option: string): boolean
  /** What the sentence calls an option with its value, if it has one to show. */
  called?(option: string): string
}

/** One sentence on the first option that is given and not read, as the values of others have it; undefined where all are read. */
export function whyUnread(
  table: OptionTable,
  values: Readonly<Record<string, unknown>>,
  { isGiven, called = (option) => option }: Reading,
): string | undefined {
  for (const [option, { onlyWith = {} }] of Object.entries(table)) {
    if (!isGiven(option)) continue
    for (const [other, condition] of Object.entries(onlyWith)) {
      // Tables may share an option and not all that it goes with.
      const def = table[other]
      if (!def || holds(condition, def, values[other])) continue
      const [it, with_] = [called(option), called(other)]
      if (condition === 'not given') return `${it}: ${with_} is given too; expected one of them`
      if (condition === 'given' || def.type === 'boolean')
        return `${it}: nothing reads it without ${with_}; expected ${with_} with it`
      const wanted = condition === 'above 0' ? condition : someOf(condition.map(String))
      return `${it}: ${with_} ${values[other]} does not read it; expected ${with_} ${wanted} with it`
    }
  }
  return undefined
}

function holds(condition: Condition, def: OptionDef, value: unknown): boolean {
  if (condition === 'above 0') return value !== 0
  if (condition === 'given' || condition === 'not given') return isSet(def, value) === (condition === 'given')
  return condition.includes(value as string | boolean)
}

/** Whether an option has a value that is not its default. */
function isSet({ default: usual }: OptionDef, value: unknown): boolean {
  return value !== undefined && JSON.stringify(value) !== JSON.stringify(usual)
}

const someOf = (words: readonly string[]): string =>
  words.length === 1 ? words[0] : `${words.slice(0, -1).join(', ')} or ${words[words.length - 1]}`

/** The value that a text stands for, as a flag or the field of a form gives it. Throws one sentence that begins with `subject`. */
export function readOption(subject: string, def: OptionDef, text: string): unknown {
  const value = parsed(def, text)
  if (isValid(def, value)) return value
  const near = def.type === 'choice' ? didYouMean(text, def.of) : ''
  throw new Error(`${subject}: "${text}"; expected ${expectedText(def)}${near}`)
}

/** What is expected of an option's text. */
export function expectedText(def: OptionDef): string {
  if (def.type === 'numbers') return `${expected(def).replace('a list of ', '')} separated by commas`
  return def.type === 'numbers-by-name' ? 'NAME=NUMBER, several separated by commas' : expected(def)
}

function parsed(def: OptionDef, text: string): unknown {
  if (def.type === 'number') return numberOf(text)
  if (def.type === 'boolean') return text === 'true' || (text === 'false' ? false : undefined)
  if (def.type === 'strings') return text.split(',').map((s) => s.trim())
  if (def.type === 'numbers') return text.split(',').map(numberOf)
  if (def.type === 'numbers-by-name') {
    const pairs = text.split(',').map((pair) => {
      const split = pair.lastIndexOf('=')
      return [pair.slice(0, split), split < 1 ? Number.NaN : numberOf(pair.slice(split + 1))] as const
    })
    return Object.fromEntries(pairs)
  }
  return text
}

function numberOf(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}

/** Whether a value is one that the option takes. */
export function isValid(def: OptionDef, value: unknown): boolean {
  switch (def.type) {
    case 'number':
      return isWithin(def, value)
    case 'choice':
      return def.of.includes(value as string)
    case 'boolean':
      return typeof value === 'boolean'
    case 'string':
      return typeof value === 'string'
    case 'strings':
      return Array.isArray(value) && value.every((v) => typeof v === 'string')
    case 'numbers':
      return Array.isArray(value) && value.every((v) => isWithin(def, v))
    case 'numbers-by-name':
      return typeof value === 'object' && value !== null && Object.values(value).every((v) => Number.isFinite(v))
  }
}

function isWithin(
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, integer }: Bounds,
  value: unknown,
): boolean {
  return typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value))
}

/** What the option takes, in words that follow "expected" and "must be". */
export function expected(def: OptionDef): string {
  switch (def.type) {
    case 'number':
      return `${def.integer ? 'a whole number' : 'a number'}${bounds(def)}`
    case 'choice':
      return someOf(def.of)
    case 'boolean':
      return 'true or false'
    case 'string':
      return 'a string'
    case 'strings':
      return 'a list of strings'
    case 'numbers':
      return `a list of ${def.integer ? 'whole numbers' : 'numbers'}${bounds(def)}`
    case 'numbers-by-name':
      return 'an object with a number for each name'
  }
}

function bounds({ min, max }: Bounds): string {
  if (min === undefined && max === undefined) return ''
  if (max === undefined) return ` of at least ${min}`
  return ` within [${min ?? '-Infinity'}, ${max}]`
}
