/** ONNX Runtime's own operators: their domain, and models that use it. */
import type { Model } from '../model.ts'

export const contribDomain = 'com.microsoft'

/** The model with the domain among its operator sets. */
export function withContrib(model: Model): Model {
  if (model.opsets.some((o) => o.domain === contribDomain)) return model
  return { ...model, opsets: [...model.opsets, { domain: contribDomain, version: 1 }] }
}
