/** A recipe, as compressing writes it down, on this model. */
import type { Recipe } from 'coppice'
import { useState } from 'preact/hooks'
import { chooseFiles } from '../files.ts'
import { busy, changed, fail, failure, readRecipe, runRecipe } from '../state.ts'
import type { Chosen } from '../work/messages.ts'
import { ChangeResult } from './change.tsx'
import { DataPart } from './data.tsx'
import { DropZone, Failure, JobView } from './parts.tsx'

export function RecipeView() {
  const [recipe, setRecipe] = useState<Recipe | undefined>()
  const open = async ({ files: [first] }: Chosen) => {
    try {
      setRecipe(await readRecipe(await first.file.text(), first.path))
      changed.value = undefined
      failure.value = undefined
    } catch (error) {
      fail('recipe', error)
    }
  }
  const choose = async () => {
    const files = await chooseFiles({ description: 'Recipes', extensions: ['.json'] })
    if (files) await open(files)
  }
  const named = recipe?.calibration?.data
  const isData = named !== undefined && named !== 'random'
  return (
    <>
      <section class="card">
        <h2>A recipe</h2>
        <p>The steps that made a model, with every option and the seed.</p>
        <DropZone place="recipe" label="Drop a recipe here" onFiles={open}>
          <p>Drop a .recipe.json here</p>
          <div class="actions">
            <button type="button" onClick={choose} disabled={busy.value}>
              Choose a recipe
            </button>
          </div>
        </DropZone>
        {recipe && (
          <>
            {recipe.made && <p class="soft">made: {recipe.made}</p>}
            <ol class="steps">
              {recipe.steps.map(([id, options], i) => (
                <li key={i}>
                  <strong>{id}</strong> <code>{shortened(options)}</code>
                </li>
              ))}
              {recipe.steps.length === 0 && <li>no step: the model stays as it is</li>}
            </ol>
            {isData && <DataPart needed={`It was made with ${named}: that data, or yours`} />}
            <div class="actions">
              <button type="button" class="primary" disabled={busy.value} onClick={() => runRecipe(recipe)}>
                Run
              </button>
            </div>
          </>
        )}
        <JobView />
        <Failure place="recipe" />
      </section>
      {changed.value && <ChangeResult outcome={changed.value} />}
    </>
  )
}

function shortened(options: object): string {
  const text = JSON.stringify(options)
  return text.length > 120 ? `${text.slice(0, 117)}…` : text
}
