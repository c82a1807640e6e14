/** A setting, name or argument that cannot be used; the message says what was given and expected. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
