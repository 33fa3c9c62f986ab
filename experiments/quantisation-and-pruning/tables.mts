/** `npm run experiment -- tables`: README.md of the results folder again, from its JSON files. */
import { join } from 'node:path'
import { flag } from '../_shared.mts'
import { writeTables } from './_tables.mts'

await writeTables(flag('results', join(import.meta.dirname, 'results')))
