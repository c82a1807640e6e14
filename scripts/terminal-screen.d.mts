export function screenAfter(command: string, options?: { readonly columns?: number }): string;
