/** `coppice run`: applies a recipe to a model; the same recipe, model and data give the same bytes. */

import { dataHandle } from '../../data/handle.ts'
import { randomData, randomSpec } from '../../evaluate/random-data.ts'
import { readFileBytes, writeFileAtomic } from '../../node/files.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { parseRecipe, runSteps } from '../../recipe.ts'
import { defineCommand, type Invocation, outputOption, threadsOption } from '../command.ts'
import { bindSpec } from '../data-options.ts'
import { openAny } from '../inputs.ts'
import { layoutOption, plannedOutputs, saveFor } from '../layout.ts'

const options = {
  ...outputOption('the result (.onnx)', '.onnx'),
  ...layoutOption,
  data: {
    type: 'string',
    optional: true,
    value: 'spec',
    help: 'calibration data, instead of what the recipe names',
  },
  ...threadsOption,
} as const satisfies OptionTable

export const runCommand = defineCommand({
  arguments: '<recipe> <model>',
  options,
  run: ([recipe, model], given, invocation) => runRecipe({ recipe, model }, given, invocation),
})

async function runRecipe(
  { recipe: recipePath, model: path }: { readonly recipe: string; readonly model: string },
  flags: OptionsOf<typeof options>,
  { io, signal }: Invocation,
): Promise<void> {
  const recipe = parseRecipe(new TextDecoder().decode(readFileBytes(recipePath)), recipePath)
  const { model, onnx } = openAny(path, { outputs: plannedOutputs(path, flags), inputs: [recipePath] })
  const { calibration, seed } = recipe
  const random =
    calibration?.data === randomSpec && !flags.data ? await randomData(model, seed, calibration) : undefined
  const bound =
    calibration &&
    !random &&
    (await bindSpec(model, { ...calibration, data: flags.data ?? calibration.data }, { seed, io, signal }))
  const warnings: string[] = []
  const result = await runSteps(model, recipe.steps, {
    seed,
    signal,
    progress: io.progress,
    warn: (message) => warnings.push(message),
    ...(recipe.task ? { task: recipe.task } : {}),
    ...(random ? { data: random.data } : {}),
    ...(bound
      ? { data: dataHandle({ train: bound.splits.train, batcher: bound.batcher }, { seed, usual: calibration }) }
      : {}),
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
