/** Model-local functions: finding the one that a node calls, and the attributes that its body takes from the call. */
import { type Attribute, type FunctionDef, isOnnxDomain, type Model, type Node } from '../model.ts'

/** Nodes that may be looked at in nested graphs and local functions, whose calls could otherwise double without end. */
export const maxVisits = 200_000
export const maxCallDepth = 50

/** The function that a node calls, if it is one of the model's. */
export type FunctionLookup = (node: Node) => FunctionDef | undefined

export function functionLookup({ functions = [] }: Pick<Model, 'functions'>): FunctionLookup {
  const byKey = new Map(functions.map((f) => [keyOf(f.domain, f.name, f.overload), f]))
  return byKey.size === 0 ? () => undefined : (node) => byKey.get(keyOf(node.domain, node.op, node.overload))
}

function keyOf(domain: string | undefined, name: string, overload: string | undefined): string {
  return [isOnnxDomain(domain) ? '' : domain, name, overload ?? ''].join('\0')
}

/** The attributes that a function's body sees: those of the call, and for those that it leaves out the function's defaults. */
export function attributesFor(fn: FunctionDef, call: Node): Readonly<Record<string, Attribute>> {
  return fn.attributeDefaults ? { ...fn.attributeDefaults, ...call.attributes } : call.attributes
}

/** The node with the caller's attributes where it refers to them; what the caller leaves out is left out. */
export function withReferences(node: Node, caller: Readonly<Record<string, Attribute>>): Node {
  const entries = Object.entries(node.attributes)
  if (!entries.some(([, a]) => a.type === 'reference')) return node
  const bound = entries.flatMap(([name, a]): [string, Attribute][] => {
    if (a.type !== 'reference') return [[name, a]]
    return Object.hasOwn(caller, a.value) ? [[name, caller[a.value]]] : []
  })
  return { ...node, attributes: Object.fromEntries(bound) }
}
