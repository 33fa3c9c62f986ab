/** Data: pictures, arrays or a table, which every task may look at. */
import { shapeOption } from 'coppice'
import { preprocessTable, readTable } from 'coppice/data'
import { useState } from 'preact/hooks'
import { chooseFiles, chooseFolder } from '../files.ts'
import { count, withoutFlags } from '../numbers.ts'
import { busy, data, dropData, fail, openData, reading, unread } from '../state.ts'
import type { Chosen } from '../work/messages.ts'
import { OptionForm, readTexts, type Texts } from './options.tsx'
import { DropZone, Failure } from './parts.tsx'

const { inputShape } = shapeOption
const table = { ...preprocessTable, ...readTable, inputShape }

export function DataPart({ needed }: { needed?: string }) {
  const choose = async (choice: Promise<Chosen | undefined>) => {
    try {
      const files = await choice
      if (files) await openData(files)
    } catch (error) {
      fail('data', error)
    }
  }
  const found = data.value?.summary
  return (
    <div class="data">
      {found ? (
        <div class="data-found">
          <p>
            <strong>{found.name.replace(/^\w+:/, '')}</strong> {count(found.train)} samples to work with,{' '}
            {count(found.test)} to judge on{found.classes ? `, ${count(found.classes)} classes` : ', without classes'}
          </p>
          <button type="button" class="quiet" onClick={dropData} disabled={busy.value}>
            Remove the data
          </button>
        </div>
      ) : (
        <DropZone place="data" label="Drop data here" onFiles={(files) => openData(files)}>
          <p>
            {needed ??
              'Your data, so that the loss is judged on it: a folder of pictures (a folder for each class in it, or none), an .npz or a .csv'}
          </p>
          <div class="actions">
            <button
              type="button"
              onClick={() =>
                choose(
                  chooseFiles({
                    description: 'Data',
                    extensions: ['.npz', '.csv', '.tsv', '.png', '.jpg', '.jpeg', '.webp'],
                  }),
                )
              }
              disabled={busy.value}
            >
              Choose files
            </button>
            <button type="button" onClick={() => choose(chooseFolder())} disabled={busy.value}>
              Choose a folder
            </button>
          </div>
        </DropZone>
      )}
      <Failure place="data" />
      {(found || unread.value) && <Reading />}
      {found && found.notes.length > 0 && (
        <ul class="soft notes">
          {found.notes.map((note) => (
            <li key={note}>{withoutFlags(note)}</li>
          ))}
        </ul>
      )}
    </div>
  )
}

/** How the data is read: needed where the model was trained on pixels of another range. */
function Reading() {
  const [texts, setTexts] = useState<Texts>({})
  const { words, wrong } = readTexts(table, texts)
  const chosen = data.value?.chosen ?? unread.value
  return (
    <details open={!data.value}>
      <summary>How the data is read</summary>
      <OptionForm id="reading" table={table} texts={texts} onChange={setTexts} disabled={busy.value} />
      <div class="actions">
        <button
          type="button"
          disabled={
            busy.value ||
            Object.keys(wrong).length > 0 ||
            !chosen ||
            JSON.stringify(words) === JSON.stringify(reading.value)
          }
          onClick={() => chosen && openData(chosen, words)}
        >
          Read it so
        </button>
      </div>
    </details>
  )
}
