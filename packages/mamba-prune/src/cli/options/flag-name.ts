/** A flag as it is typed: `--reg-epochs` for `regEpochs`. */
export const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
