// Text with the colours of a terminal as HTML.

/** Of the codes that the program writes, the classes of a style; a code that is not here changes nothing. */
const classes = { 1: 'bold', 2: 'dim', 31: 'red', 32: 'green', 33: 'yellow', 36: 'cyan' };

/** Which of them a code ends. */
const endedBy = {
  0: Object.values(classes),
  22: ['bold', 'dim'],
  39: ['red', 'green', 'yellow', 'cyan'],
};

// Built from a text: a pattern may not have an escape character in it.
const sequence = '\x1b\\[([\\d;]*)m';

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** @param text - with escape sequences (SGR) and no others */
export function htmlOfTerminal(text) {
  const worn = new Set();
  const [begin = '', ...parts] = text.split(new RegExp(sequence));
  let html = escaped(begin);
  // Codes and the text behind them, in turns.
  for (let i = 0; i < parts.length; i += 2) {
    for (const code of parts[i].split(';').map(Number)) {
      for (const name of endedBy[code] ?? []) worn.delete(name);
      if (classes[code] !== undefined) worn.add(classes[code]);
    }
    const shown = escaped(parts[i + 1]);
    html +=
      shown === '' || worn.size === 0
        ? shown
        : `<span class="${[...worn].join(' ')}">${shown}</span>`;
  }
  return html;
}
