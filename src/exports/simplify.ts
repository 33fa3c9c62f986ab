/** `coppice/simplify`: the methods that rewrite a graph and keep what it computes. */

export { densified } from '../simplify/densify.ts'
export * from '../simplify/index.ts'
export { raisedIfTooOld } from '../simplify/upgrade.ts'
