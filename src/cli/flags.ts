/** Flags of option tables: `sparsities` of type numbers-by-name is `--sparsities NAME=0.5,...`. */
import { type Command, Option } from 'commander'
import { expected, type OptionDef, type OptionsOf, type OptionTable, readOption, whyUnread } from '../options.ts'

/** Adds a flag for each option. Nothing is required of the parser itself, which would name a missing flag before a mistyped one. */
export function addFlags(command: Command, table: OptionTable): Command {
  for (const [name, def] of Object.entries(table)) {
    const option = new Option(spelled(name, def), helpLine(def))
    if (def.type === 'strings' && def.repeatable)
      option.argParser((text: string, all: readonly string[] = []) => [...all, text])
    command.addOption(option)
  }
  return command
}

/** `--max-loss` of `maxLoss`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** A sentence of the library with its options as the command line has them: `--exclude-nodes` for `excludeNodes`. */
export function withFlags(table: OptionTable, sentence: string): string {
  // What stands in quotation marks is a person's.
  return sentence.replace(/(?<!["\w.])[a-z]+(?:[A-Z][a-z0-9]*)+(?![\w"])/g, (word) =>
    Object.hasOwn(table, word) ? flagOf(word) : word,
  )
}

const negated = (name: string): string => flagOf(name).replace('--', '--no-')

function spelled(name: string, def: OptionDef): string {
  const short = def.short ? `-${def.short}, ` : ''
  if (def.type === 'boolean') return short + (def.default ? negated(name) : flagOf(name))
  return `${short}${flagOf(name)} <${def.value ?? valueWord(def)}>`
}

function valueWord(def: OptionDef): string {
  const words = { strings: 'names', numbers: 'numbers', 'numbers-by-name': 'name=number', string: 'text' }
  if (def.type === 'number') return def.integer ? 'n' : 'number'
  return def.type === 'choice' ? 'choice' : words[def.type as keyof typeof words]
}

/** The option's help, what it takes where that is one of a few words, and its default. */
function helpLine(def: OptionDef): string {
  const choices = def.type === 'choice' && !def.of.every((word) => def.help.includes(word)) ? `: ${expected(def)}` : ''
  const shown = Array.isArray(def.default) ? def.default.join(',') : String(def.default)
  const hasDefault =
    def.default !== undefined && typeof def.default !== 'boolean' && shown !== '' && def.type !== 'numbers-by-name'
  const not = def.type === 'boolean' && def.default ? 'do not ' : ''
  return `${not}${def.help}${choices}${hasDefault ? ` (default: ${shown})` : ''}`
}

/** The options that the flags give, each checked. Throws one sentence that names the flag, also of one that nothing reads beside the others. */
export function readFlags<T extends OptionTable>(table: T, flags: Readonly<Record<string, unknown>>): OptionsOf<T> {
  const options: Record<string, unknown> = {}
  for (const [name, def] of Object.entries(table)) {
    const given = flags[name]
    if (given === undefined || def.type === 'boolean') {
      if (given === undefined && def.required)
        throw new Error(`${flagOf(name)} is missing; expected ${missing(name, def)}`)
      options[name] = given ?? def.default
      continue
    }
    options[name] = Array.isArray(given) ? given : readOption(flagOf(name), def, String(given))
  }
  const isGiven = (name: string): boolean =>
    flags[name] !== undefined && (table[name].type !== 'boolean' || flags[name] !== table[name].default)
  // Of what is on, the flag turns it off.
  const called = (name: string): string =>
    isGiven(name) && table[name].type === 'boolean' && flags[name] === false ? negated(name) : flagOf(name)
  const unread = whyUnread(table, options, { isGiven, called })
  if (unread) throw new Error(unread)
  return options as OptionsOf<T>
}

function missing(name: string, def: OptionDef): string {
  return `${spelled(name, def).replace(/^(-.), --\S+/, '$1')}: ${def.help}`
}
