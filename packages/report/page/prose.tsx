// Sentences that name flags of the command line.

/** Two hyphens and a name at the beginning of a word. Because they are a group, `split` keeps them, at odd places. */
const flags = /((?<![\w/-])--[a-z][\w-]*)/;

/** A browser breaks lines at hyphens. A flag that is torn apart there looks like two words, or like a dash. */
export function Prose({ text }: { readonly text: string }) {
  return (
    <>
      {text.split(flags).map((part, i) =>
        i % 2 === 1 ? (
          <span key={i} class="flag">
            {part}
          </span>
        ) : (
          part
        ),
      )}
    </>
  );
}
