/** A form made of an option table: a field for each option, with its line of help and what is wrong with its value. */
import { expectedText, type OptionDef, type OptionTable, readOption } from 'coppice'
import { withoutFlags } from '../numbers.ts'
import type { Words } from '../work/messages.ts'

/** What stands in the fields, by the option's name; '' and a missing one are the default. */
export type Texts = Readonly<Record<string, string>>

/** The values of the texts; of a field that is wrong, the sentence instead. */
export function readTexts(table: OptionTable, texts: Texts): { words: Words; wrong: Readonly<Record<string, string>> } {
  const words: Record<string, unknown> = {}
  const wrong: Record<string, string> = {}
  for (const [name, def] of Object.entries(table)) {
    const text = texts[name] ?? ''
    if (text.trim() === '') {
      if (def.required) wrong[name] = `${inWords(name)} is missing; expected ${expectedText(def)}`
      continue
    }
    try {
      words[name] = readOption(inWords(name), def, text)
    } catch (error) {
      wrong[name] = (error as Error).message
    }
  }
  return { words, wrong }
}

/** `max loss` of `maxLoss`. */
function inWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

export function OptionForm({
  id,
  table,
  texts,
  onChange,
  disabled,
}: {
  /** Begins the ids of its fields. */
  id: string
  table: OptionTable
  texts: Texts
  onChange: (texts: Texts) => void
  disabled?: boolean
}) {
  const { wrong } = readTexts(table, texts)
  return (
    <fieldset class="options" disabled={disabled}>
      <legend class="hidden">Options</legend>
      {Object.entries(table).map(([name, def]) => {
        const field = `${id}-${name}`
        const text = texts[name] ?? ''
        // Nobody is told that a field is missing before they come to it.
        const sentence = text === '' ? undefined : wrong[name]
        const set = (value: string) => onChange({ ...texts, [name]: value })
        return (
          <div class={`option${def.type === 'boolean' ? ' switch' : ''}`} key={name}>
            <label for={field}>
              {inWords(name)}
              {def.required && <span aria-hidden="true"> *</span>}
            </label>
            <Field field={field} def={def} text={text} set={set} wrong={sentence !== undefined} />
            <small id={`${field}-help`}>{withoutFlags(def.help)}</small>
            {sentence && (
              <small class="failure" id={`${field}-wrong`}>
                {sentence}
              </small>
            )}
          </div>
        )
      })}
    </fieldset>
  )
}

function Field({
  field,
  def,
  text,
  set,
  wrong,
}: {
  field: string
  def: OptionDef
  text: string
  set: (text: string) => void
  wrong: boolean
}) {
  const about = {
    id: field,
    'aria-describedby': wrong ? `${field}-help ${field}-wrong` : `${field}-help`,
    'aria-invalid': wrong,
    required: def.required === true,
  }
  if (def.type === 'boolean')
    return (
      <input
        {...about}
        type="checkbox"
        checked={text === '' ? def.default === true : text === 'true'}
        onChange={(e) => set(String(e.currentTarget.checked))}
      />
    )
  if (def.type === 'choice')
    return (
      <select {...about} value={text || (def.default ?? '')} onChange={(e) => set(e.currentTarget.value)}>
        {def.default === undefined && <option value="">{def.required ? 'choose' : 'by itself'}</option>}
        {def.of.map((choice) => (
          <option value={choice} key={choice}>
            {choice}
          </option>
        ))}
      </select>
    )
  return (
    <input
      {...about}
      type="text"
      inputMode={def.type === 'number' ? 'decimal' : undefined}
      autocomplete="off"
      spellcheck={false}
      value={text}
      placeholder={shown(def)}
      onInput={(e) => set(e.currentTarget.value)}
    />
  )
}

/** The default, as a person would write it. */
function shown(def: OptionDef): string {
  const { default: value } = def
  if (value === undefined) return ''
  if (Array.isArray(value)) return value.join(',')
  return typeof value === 'object' ? '' : String(value)
}
