/** The methods of quantize/. Written by `npm run methods` from the files that define them. */
export { compact } from './compact.ts'
export { float16 } from './float16.ts'
export { int4 } from './int4.ts'
export { int8 } from './int8.ts'
export { settleWeights } from './settle-weights.ts'
export { share } from './share.ts'
export { uniform } from './uniform.ts'
