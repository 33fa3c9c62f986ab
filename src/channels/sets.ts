/** Sets of numbers 0 .. n - 1 that are joined: union-find. */
export interface NumberSets {
  /** The number that stands for the set. */
  of(member: number): number
  join(a: number, b: number): void
}

export function numberSets(count: number): NumberSets {
  const parent = Int32Array.from({ length: count }, (_, i) => i)
  const of = (member: number): number => {
    let root = member
    while (parent[root] !== root) root = parent[root]
    for (let i = member; i !== root; ) {
      const next = parent[i]
      parent[i] = root
      i = next
    }
    return root
  }
  return {
    of,
    join(a, b) {
      parent[of(a)] = of(b)
    },
  }
}
