/** With every member there. */
export type Whole<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };
