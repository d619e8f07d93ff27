/** A server started for tests, on a loopback port of its own, with its data in a temporary directory. */
export interface TestService extends AsyncDisposable {
  /** Stays the same across restarts. */
  readonly url: string;
  readonly running: boolean;
  /** Stops as an operator would. */
  stop(): Promise<void>;
  /** Stops as a power cut would. */
  kill(): Promise<void>;
  /** Starts again on the same port and data; resolves when it answers. */
  start(): Promise<void>;
}
