/** The former place of `checks.ts`. */
export { type OptionKinds, checkOptions, requireOptions, requirePath } from './checks.js';
