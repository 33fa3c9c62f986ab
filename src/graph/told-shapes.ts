/** The option by which a person tells the sizes that a model leaves open. */
import type { Model } from '../model.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import { tellInputShapes, withInputShapes } from './input-shapes.ts'

/** For all that opens models. */
export const shapeOption = {
  inputShape: {
    type: 'strings',
    default: [],
    repeatable: true,
    value: 'name=shape',
    help: 'sizes that the model leaves open, such as image=1,3,320,320 (? leaves one open); NAME= is needed only with several inputs',
  },
} as const satisfies OptionTable

export type ShapeFlags = OptionsOf<typeof shapeOption>

/** The model with the shapes that the flags tell. */
export function shapedModel(model: Model, { inputShape }: ShapeFlags): Model {
  if (inputShape.length === 0) return model
  const told = inputShape.map((text) => {
    const split = text.lastIndexOf('=')
    const sizes = text.slice(split + 1).split(',')
    if (!sizes.every((size) => /^\s*([1-9]\d*|\?)\s*$/.test(size)))
      throw new Error(
        `--input-shape: "${text}"; expected name=1,3,320,320: sizes above 0, or ? for one that stays open`,
      )
    const shape = sizes.map((size) => (size.trim() === '?' ? undefined : Number(size)))
    return [split < 0 ? '' : text.slice(0, split), shape] as const
  })
  return withInputShapes(model, tellInputShapes(model, new Map(told), '--input-shape'))
}
