/** What there is to know of a node in one word, and since when (RFC 3339; empty: not known). */
export interface NodeState { readonly word: "ready" | "drained" | "unreachable"; readonly since: string }

/** A drained node takes no new containers; one that cannot be reached takes nothing at all, drained or not. */
export function nodeState({ ready, since, availability, availableSince }: { ready: boolean; since: string; availability: string; availableSince: string }): NodeState {
  if (!ready) return { word: "unreachable", since };
  return availability === "drain" ? { word: "drained", since: availableSince } : { word: "ready", since };
}
