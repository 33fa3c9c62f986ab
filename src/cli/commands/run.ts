/** `coppice run`: applies a recipe to a model; the same recipe, model and data give the same bytes. */

import { runRecipe } from '../../compress/run-recipe.ts'
import { randomSpec } from '../../evaluate/random-data.ts'
import { readFileBytes, writeFileAtomic } from '../../node/files.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { parseRecipe } from '../../recipe.ts'
import { defineCommand, type Invocation, outputOption, threadsOption } from '../command.ts'
import { bindSpec } from '../data-options.ts'
import { openAny, openTeacher } from '../inputs.ts'
import { layoutOption, plannedOutputs, saveFor } from '../layout.ts'
import { teacherOption } from '../train-options.ts'

const options = {
  ...outputOption('the result (.onnx)', '.onnx'),
  ...layoutOption,
  data: {
    type: 'string',
    optional: true,
    value: 'spec',
    help: 'calibration data, instead of what the recipe names',
  },
  ...teacherOption,
  ...threadsOption,
} as const satisfies OptionTable

export const runCommand = defineCommand({
  arguments: '<recipe> <model>',
  options,
  run: ([recipe, model], given, invocation) => applyRecipe({ recipe, model }, given, invocation),
})

async function applyRecipe(
  { recipe: recipePath, model: path }: { readonly recipe: string; readonly model: string },
  flags: OptionsOf<typeof options>,
  { io, signal }: Invocation,
): Promise<void> {
  const recipe = parseRecipe(new TextDecoder().decode(readFileBytes(recipePath)), recipePath)
  const outputs = plannedOutputs(path, flags)
  const { model, onnx } = openAny(path, { outputs, inputs: [recipePath] })
  const teacher = openTeacher(flags, { outputs })
  const { calibration, seed } = recipe
  const isRandom = calibration?.data === randomSpec && !flags.data
  const bound =
    calibration && !isRandom
      ? await bindSpec(model, { ...calibration, data: flags.data ?? calibration.data }, { seed, io, signal })
      : undefined
  const warnings: string[] = []
  const result = await runRecipe(model, recipe, {
    data: bound,
    ...(teacher ? { teacher } : {}),
    signal,
    progress: io.progress,
    warn: (message) => warnings.push(message),
  })
  // A recipe without steps stands for the original file, as it is.
  const isAsItIs = recipe.steps.length === 0 && flags.for === undefined
  if (isAsItIs) await writeFileAtomic(flags.output, onnx)
  const files = isAsItIs ? [flags.output] : await saveFor(result, path, flags)
  io.finish()
  io.result([...warnings.map((w) => `warning: ${w}`), ...files.map((f) => `wrote ${f}`)].join('\n'), {
    recipe: recipePath,
    model: path,
    files,
    warnings,
  })
}
