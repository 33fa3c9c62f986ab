/** Runs a command of the command line with its flags as texts, as the parser gives them. */
import type { CliCommand } from '../cli/command.ts'
import { readFlags } from '../cli/flags.ts'
import type { Io } from '../cli/io.ts'

export type FlagTexts = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

export async function runCommand(
  command: CliCommand,
  args: readonly string[],
  flags: FlagTexts,
  { io, signal = new AbortController().signal }: { readonly io: Io; readonly signal?: AbortSignal },
): Promise<void> {
  await command.run(args, readFlags(command.options, flags), { io, signal })
}
