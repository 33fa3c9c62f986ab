/** `coppice/prune`: the methods that zero weights or remove what nothing reads, and pruning in rounds with training between. */
export {
  type ChannelGroup,
  type ChannelOptions,
  type ChannelRoom,
  type GroupMember,
  type OpenedChannels,
  openChannels,
} from '../channels/channel-groups.ts'
export * from '../prune/index.ts'
export {
  type PruneOptions,
  type PruneRound,
  type PruneSchedule,
  type PruneScore,
  pruneAndTrain,
  pruneSchedules,
  pruneScores,
  type RoundTraining,
  sparsityAt,
} from '../prune/prune-and-train.ts'
