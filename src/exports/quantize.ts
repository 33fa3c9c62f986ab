/** `coppice/quantize`: the methods that give weights, or the whole network, fewer values. */
export * from '../quantize/index.ts'
export { type FakeQuantiseOptions, fakeQuantise } from '../quantize/fake-quantise.ts'
export { calibrateValues, prepareForFakes } from '../quantize/prepare-fakes.ts'
