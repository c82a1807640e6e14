// How to make a run again.
import { useState } from 'preact/hooks';
import type { RepeatCommand, RunData } from '../../src/page-data/run.js';
import { usePage } from '../context.js';
import { RunSelect, Section } from '../controls.js';
import { Prose } from '../prose.js';

export function Repeat() {
  const { t, data, focus } = usePage();
  const run = focus ?? data.runs[0];
  if (!run) return null;
  return (
    <Section
      id="repeat"
      title={t('repeat')}
      help={t('repeatHelp')}
      controls={<RunSelect value={run.id} runs={data.runs.map(({ id }) => id)} />}
    >
      {run.repeat ? <Command command={run.repeat} /> : <p class="note">{t('noCommand')}</p>}
      {run.dataset?.note !== undefined && (
        <p class="help">
          <Prose text={run.dataset.note} />
        </p>
      )}
      <Facts run={run} />
    </Section>
  );
}

export function Command({ command: { line, cwd } }: { readonly command: RepeatCommand }) {
  const { t } = usePage();
  const [isCopied, setCopied] = useState(false);
  const text = `npx ${line}`;
  return (
    <div class="command">
      <pre>
        <code>
          {text.split(/( )/).map((word, i) => (
            // A line may end between words and not at the hyphens of a flag; paths are broken where they must be.
            <span key={i} class={word.startsWith('-') ? 'flag' : ''}>
              {word}
            </span>
          ))}
        </code>
      </pre>
      <button
        type="button"
        onClick={() => {
          void copy(text).then(() => {
            setCopied(true);
            setTimeout(() => {
              setCopied(false);
            }, 2000);
          });
        }}
      >
        {t(isCopied ? 'copied' : 'copy')}
      </button>
      {cwd !== '' && <span class="help">{t('inFolder', { cwd })}</span>}
    </div>
  );
}

/** A page from the disk may be refused the clipboard. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    // Deprecated, and the one way there is left.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    document.execCommand('copy');
    area.remove();
  }
}

function Facts({ run }: { readonly run: RunData }) {
  const { t } = usePage();
  return (
    <details class="facts">
      <summary>{t('settings')}</summary>
      <dl>
        {run.facts.map(({ name, value }, i) => (
          <div key={i}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
