/** The whole page: first a model, then what to do with it. */
import { offline } from '../offline.ts'
import { model } from '../state.ts'
import { ModelCard, ModelDrop } from './model.tsx'
import { Tasks } from './tasks.tsx'

export function App() {
  return (
    <>
      <header class="top">
        <h1>coppice</h1>
        <p>Makes a neural network small and fast, and shows what it kept. Nothing leaves this computer.</p>
      </header>
      <main>
        {model.value ? (
          <>
            <ModelCard />
            <Tasks />
          </>
        ) : (
          <ModelDrop />
        )}
      </main>
      <footer>
        coppice {__VERSION__} ·{' '}
        {offline.value === 'ready' ? 'kept on this computer: works offline from now on' : 'runs in this page alone'}
      </footer>
    </>
  )
}
