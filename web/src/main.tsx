/** The page begins. */
import { render } from 'preact'
import './style.css'
import { keepOffline } from './offline.ts'
import { App } from './view/app.tsx'

render(<App />, document.getElementById('page') as HTMLElement)
keepOffline()
