/** `coppice/simplify`: the methods that rewrite a graph and keep what it computes. */
export * from '../simplify/index.ts'
