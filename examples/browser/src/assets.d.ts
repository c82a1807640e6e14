// What esbuild makes of an import of a binary: its address, relative to the bundle.
declare module '*.wasm' {
  const path: string;
  export default path;
}
