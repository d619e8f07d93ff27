/** A state as a word with a colour: never by colour alone. */
export function StateMark({ state }: { readonly state: string }) {
  return <span className={`state ${state}`}>{state}</span>;
}
