/** What can be done with the model: a tab each, of which compressing is the first. */
import { signal } from '@preact/signals'
import type { JSX } from 'preact'
import { busy } from '../state.ts'
import { CompressView } from './compress.tsx'
import { MethodsView } from './methods.tsx'
import { PackView } from './pack.tsx'
import { RecipeView } from './recipe.tsx'
import { ScanView } from './scan.tsx'

const tabs: readonly { readonly id: string; readonly name: string; readonly view: () => JSX.Element }[] = [
  { id: 'compress', name: 'Compress', view: CompressView },
  { id: 'pack', name: 'Pack', view: PackView },
  { id: 'methods', name: 'Methods', view: MethodsView },
  { id: 'recipe', name: 'Recipe', view: RecipeView },
  { id: 'scan', name: 'Scan', view: ScanView },
]

const current = signal(tabs[0].id)

export function Tasks() {
  const { view: View, id } = tabs.find((tab) => tab.id === current.value) ?? tabs[0]
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step || busy.value) return
    event.preventDefault()
    const at = tabs.findIndex((tab) => tab.id === current.value)
    current.value = tabs[(at + step + tabs.length) % tabs.length].id
    document.getElementById(`tab-${current.value}`)?.focus()
  }
  return (
    <>
      <div class="tabs" role="tablist" aria-label="What to do with the model" onKeyDown={move}>
        {tabs.map((tab) => (
          <button
            type="button"
            role="tab"
            key={tab.id}
            id={`tab-${tab.id}`}
            aria-selected={tab.id === id}
            aria-controls={tab.id === id ? `panel-${tab.id}` : undefined}
            tabIndex={tab.id === id ? 0 : -1}
            disabled={busy.value && tab.id !== id}
            onClick={() => {
              current.value = tab.id
            }}
          >
            {tab.name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`panel-${id}`} aria-labelledby={`tab-${id}`} class="panel">
        <View />
      </div>
    </>
  )
}
