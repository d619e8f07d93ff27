/**
 * What a module registers its clean-up on: disposed in reverse order when the process stops.
 * `AsyncDisposableStack` itself; the name says the role.
 */
export type Scope = AsyncDisposableStack;
