/** `coppice/quantize`: the methods that give weights, or the whole network, fewer values. */
export { type FakeQuantiseOptions, fakeQuantise } from '../quantize/fake-quantise.ts'
export * from '../quantize/index.ts'
export { calibrateValues, prepareForFakes } from '../quantize/prepare-fakes.ts'
