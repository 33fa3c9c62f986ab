/** `coppice/factorize`: the methods that make several cheaper layers of one. */
export * from '../factorize/index.ts'
