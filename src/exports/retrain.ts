/** `coppice/retrain`: the methods that train a model further. */
export * from '../retrain/index.ts'
