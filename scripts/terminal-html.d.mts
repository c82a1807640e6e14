export function htmlOfTerminal(text: string): string;
