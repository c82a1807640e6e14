/**
 * At the beginning of a message, or where a comparison tells why one of its runs failed. With classes goes the function by which
 * all of them write files.
 */
const className = /(?<=^|failed: )(?:(?:[A-Z][a-z0-9]+){2,}(?:\.[a-z]\w*)?|writeFileAtomic): /;

/**
 * The message of an error for people: which class of the library it comes from (`DeviceSplit: `) is for those who
 * call that class.
 */
export const withoutClassName = (message: string): string => message.replace(className, '');
