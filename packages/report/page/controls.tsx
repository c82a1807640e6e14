// Choices: one of a few, one of many, yes or no.
import type { ComponentChildren } from 'preact';
import { usePage } from './context.js';
import { Prose } from './prose.js';

export interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly choices: readonly Choice<T>[];
  readonly value: T;
  readonly onChange: (value: T) => void;
}

/** A few choices side by side. They are radio buttons, so that arrow keys and readers know them. */
export function Segments<T extends string>({ label, choices, value, onChange }: ChoiceProps<T>) {
  const name = `segments-${label}`;
  return (
    <fieldset class="segments">
      <legend class="hidden">{label}</legend>
      {choices.map((choice) => (
        <label key={choice.value}>
          <input
            type="radio"
            name={name}
            checked={choice.value === value}
            onChange={() => {
              onChange(choice.value);
            }}
          />
          <span>{choice.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function Select<T extends string>({ label, choices, value, onChange }: ChoiceProps<T>) {
  return (
    <label class="select">
      <span>{label}</span>
      <select
        value={value}
        onChange={(event) => {
          onChange(event.currentTarget.value as T);
        }}
      >
        {choices.map((choice) => (
          <option key={choice.value} value={choice.value}>
            {choice.label}
          </option>
        ))}
      </select>
    </label>
  );
}

interface SwitchProps {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}

export function Switch({ label, checked, onChange }: SwitchProps) {
  return (
    <label class="switch">
      <input
        type="checkbox"
        checked={checked}
        onChange={(event) => {
          onChange(event.currentTarget.checked);
        }}
      />
      <span>{label}</span>
    </label>
  );
}

interface LegendEntry {
  readonly label: string;
  readonly colour: string;
  /** A line in place of a square. */
  readonly line?: 'solid' | 'dashed';
}

export function Legend({ entries }: { readonly entries: readonly LegendEntry[] }) {
  return (
    <ul class="legend">
      {entries.map(({ label, colour, line = '' }) => (
        <li key={label}>
          <i class={line} style={{ '--colour': colour }} />
          {label}
        </li>
      ))}
    </ul>
  );
}

interface SectionProps {
  readonly id: string;
  readonly title: string;
  readonly help: string;
  /** Choices beside the title. */
  readonly controls?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function Section({ id, title, help, controls, children }: SectionProps) {
  return (
    <section id={id} aria-labelledby={`${id}-title`}>
      <header>
        <div>
          <h2 id={`${id}-title`}>{title}</h2>
          <p class="help">
            <Prose text={help} />
          </p>
        </div>
        {controls !== undefined && <div class="controls">{controls}</div>}
      </header>
      {children}
    </section>
  );
}

interface ShowAllProps {
  readonly count: number;
  readonly onClick: () => void;
}

/** Below a list that shows its beginning. */
export function ShowAll({ count, onClick }: ShowAllProps) {
  const { t } = usePage();
  return (
    <button type="button" class="more" onClick={onClick}>
      {t('showAll')} ({count})
    </button>
  );
}

interface RunSelectProps {
  readonly value: string;
  /** Ids of the runs to choose from. */
  readonly runs: readonly string[];
}

/** Chooses the run that every section shows. */
export function RunSelect({ value, runs }: RunSelectProps) {
  const { t, setFocus } = usePage();
  return (
    <Select
      label={t('run')}
      value={value}
      choices={runs.map((id) => ({ value: id, label: id }))}
      onChange={setFocus}
    />
  );
}
