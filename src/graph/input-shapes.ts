/** Giving a model's inputs sizes that its file leaves open, and taking them back before it is written. */
import { didYouMean } from '../errors.ts'
import { type Dim, type Model, withGraph } from '../model.ts'

/** Shapes by the name of the input; undefined where not even the rank is known. */
export type InputShapes = ReadonlyMap<string, readonly Dim[] | undefined>

/** The shapes that the inputs of a model have. */
export function inputShapesOf(model: Model): InputShapes {
  return new Map(model.graph.inputs.map(({ name, shape }) => [name, shape]))
}

/** The model with other shapes of its inputs; those that it does not have, or that are not given, are left out. */
export function withInputShapes(model: Model, shapes: InputShapes): Model {
  if (shapes.size === 0) return model
  const inputs = model.graph.inputs.map((input) => {
    if (!shapes.has(input.name)) return input
    const { shape: _, ...rest } = input
    const shape = shapes.get(input.name)
    return shape ? { ...rest, shape } : rest
  })
  return withGraph(model, { inputs })
}

/**
 * The shapes of all inputs of a model where some are told: a size that is told for a symbol goes for that symbol wherever it
 * stands. Throws one sentence where an input is not there, or its rank or a fixed size is another.
 *
 * The name '' stands for the only input. `undefined` in a told shape leaves the size as it is.
 */
export function tellInputShapes(model: Model, told: InputShapes, subject: string): InputShapes {
  const inputs = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name))
  const sizes = new Map<string, number>()
  const own = new Map<string, readonly Dim[]>()
  for (const [key, shape] of told) {
    if (key === '' && inputs.length !== 1)
      throw new Error(`${subject}: the model has ${inputs.length} inputs (${list(inputs)}); expected name=shape`)
    const input = key === '' ? inputs[0] : inputs.find(({ name }) => name === key)
    if (!input)
      throw new Error(
        `${subject}: the model has no input "${key}"${didYouMean(
          key,
          inputs.map((i) => i.name),
        )}; expected one of ${list(inputs)}`,
      )
    if (!shape) continue
    const { name } = input
    const before = input.shape ?? input.optional?.shape ?? shape.map(() => undefined)
    const has = `"${name}" [${before.map((d) => d ?? '?').join(',')}]`
    if (before.length !== shape.length)
      throw new Error(`${subject}: ${shape.length} sizes for the input ${has}; expected ${before.length}`)
    const merged = before.map((dim, axis): Dim => {
      const size = shape[axis]
      if (typeof size !== 'number') return dim
      if (typeof dim === 'number' && dim > 0 && dim !== size)
        throw new Error(
          `${subject}: size ${axis + 1} of the input ${has} is ${dim} in the model; expected that, not ${size}`,
        )
      if (typeof dim === 'string') {
        const other = sizes.get(dim) ?? size
        if (other !== size)
          throw new Error(
            `${subject}: "${dim}" is ${other} and ${size}; expected one size wherever the model has "${dim}"`,
          )
        sizes.set(dim, size)
      }
      return size
    })
    own.set(name, merged)
  }
  const shapes = new Map<string, readonly Dim[] | undefined>()
  for (const { name, shape } of inputs) {
    const known = own.get(name) ?? shape
    shapes.set(
      name,
      known?.map((dim) => (typeof dim === 'string' ? (sizes.get(dim) ?? dim) : dim)),
    )
  }
  return shapes
}

function list(inputs: readonly { readonly name: string }[]): string {
  return inputs.map(({ name }) => `"${name}"`).join(', ')
}
