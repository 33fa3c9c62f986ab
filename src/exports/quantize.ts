/** `coppice/quantize`: the methods that give weights, or the whole network, fewer values. */
export * from '../quantize/index.ts'
