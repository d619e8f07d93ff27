/** A line of Docker's progress JSON. */
export interface ProgressMessage {
  status?: string;
  id?: string;
  stream?: string;
  progressDetail?: { current?: number; total?: number };
  /** The bar, for clients that draw none themselves. */
  progress?: string;
  aux?: object;
  error?: string;
  errorDetail?: { message: string; code?: number };
}

export function layerMessage(id: string, status: string): ProgressMessage {
  return { status, progressDetail: {}, id };
}

export function bytesMessage(id: string, status: string, current: number, total: number): ProgressMessage {
  return { status, progressDetail: { current, total }, progress: progressBar(current, total), id };
}

/** `[=====>      ]  1.5MB/3.1MB`, as Docker's jsonmessage draws it on a wide terminal. */
export function progressBar(current: number, total: number): string {
  if (current <= 0 && total <= 0) return "";
  const done = humanSize(current).padStart(8);
  if (total <= 0) return done;
  const filled = Math.min(50, Math.floor(Math.trunc((current / total) * 100) / 2));
  return `[${"=".repeat(filled)}>${" ".repeat(50 - filled)}] ${current > total ? done : `${done}/${humanSize(total)}`}`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** go-units' HumanSize: four digits, powers of 1000. */
export function humanSize(bytes: number): string {
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${UNITS[unit]}`;
}
