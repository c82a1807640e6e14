/** One end of the cable. */
export class Machine {
  private constructor();
  readonly address: string;
  /** A command line as this machine runs it; files, users and processes are those of the host. */
  command(words: readonly string[]): readonly string[];
  run(...words: readonly string[]): void;
}

export class TwoMachines {
  private constructor();
  readonly first: Machine;
  readonly second: Machine;
  /** Why there can be none here; undefined if there can. */
  static problem(): string | undefined;
  static connect(): Promise<TwoMachines>;
  /** From now on nothing that one sends comes to the other, and neither is told. */
  cut(): void;
  mend(): void;
  /** When what runs on them has ended. */
  remove(): void;
}
