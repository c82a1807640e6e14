// The dense and the pruned model side by side, in the reader's own browser.
import { useEffect, useRef, useState } from 'preact/hooks';
import { baselineOf } from '../../src/data/baseline.js';
import { dataName } from '../../src/data/data-name.js';
import type { RunData } from '../../src/page-data/run.js';
import type { TryOutModel } from '../../src/page-data/try-out.js';
import { usePage } from '../context.js';
import { Section, Segments, Select } from '../controls.js';
import { bytes, count, digits, milliseconds, percent } from '../format.js';
import { Engine } from '../try-out/engine.js';
import type { Models } from '../try-out/models.js';
import { imageInput } from '../try-out/pixels.js';
import type { Backend, RunResult } from '../try-out/protocol.js';
import { RunMark } from '../run-mark.js';
import { Command } from './repeat.js';

/** Runs whose models can be tried, here or in the studio. */
export const triableRuns = (runs: readonly RunData[], models: Models | undefined): RunData[] =>
  runs.filter((run) => models?.has(run) ?? (run.state === 'finished' && run.size?.bytes != null));

interface Picture {
  readonly url: string;
  readonly blob: Blob;
  /** True class, if it is a test image. */
  readonly label: number | undefined;
}

type Outcome =
  | { readonly state: 'idle' }
  | { readonly state: 'busy'; readonly last: Done | undefined }
  | { readonly state: 'unreadable' }
  | { readonly state: 'failed'; readonly message: string }
  | Done;

interface Done {
  readonly state: 'done';
  readonly models: readonly TryOutModel[];
  readonly results: readonly RunResult[];
}

export function TryOut() {
  const { models } = usePage();
  return models ? <Bench models={models} /> : <NeedsStudio />;
}

/** A report that was written without models says how to get them. */
function NeedsStudio() {
  const { t, data } = usePage();
  return (
    <Section id="try-out" title={t('tryOut')} help={t('tryOutNeedsStudio')}>
      <Command command={data.studio} />
    </Section>
  );
}

function Bench({ models }: { readonly models: Models }) {
  const { t, data, focus } = usePage();
  const runs = triableRuns(data.runs, models);
  const [leftChosen, chooseLeft] = useState('');
  const [rightChosen, chooseRight] = useState('');
  const [backend, setBackend] = useState<Backend>('wasm');
  const [backends, setBackends] = useState<readonly Backend[]>(['wasm']);
  const [picture, setPicture] = useState<Picture>();
  const right = byId(runs, rightChosen) ?? byId(runs, focus?.id) ?? runs.at(-1);
  const dense = right && baselineOf(right, data.runs)?.run?.id;
  // Models of other data answer with other classes.
  const first = runs.find((run) => right && dataName(run) === dataName(right)) ?? runs[0];
  const left = byId(runs, leftChosen) ?? byId(runs, dense) ?? byId(runs, right?.source) ?? first;
  // One alone where both are the same.
  const pair = [...new Set([left, right].flatMap((run) => (run ? [run.id] : [])))];
  const described = useDescribed(models, pair);
  const outcome = useOutcome(models, { pair, described, backend, picture });
  useEffect(() => {
    void models.backends().then(setBackends);
  }, [models]);
  const choices = runs.map(({ id }) => ({ value: id, label: id }));
  const samples = described?.at(-1)?.samples ?? [];
  const names = described?.at(-1)?.classes ?? [];
  return (
    <Section
      id="try-out"
      title={t('tryOut')}
      help={t(pair.length === 1 ? 'tryOutHelpOne' : 'tryOutHelp')}
      controls={
        <>
          {runs.length > 1 && (
            <>
              <Select
                label={t('model', { n: 1 })}
                value={left?.id ?? ''}
                choices={choices}
                onChange={chooseLeft}
              />
              <Select
                label={t('model', { n: 2 })}
                value={right?.id ?? ''}
                choices={choices}
                onChange={chooseRight}
              />
            </>
          )}
          {backends.length > 1 && (
            <Segments
              label={t('backend')}
              value={backend}
              choices={backends.map((value) => ({
                value,
                label: value === 'wasm' ? 'CPU' : 'WebGPU',
              }))}
              onChange={setBackend}
            />
          )}
        </>
      }
    >
      <div class="chart wide try-out">
        <div class="try-pick">
          <DropZone
            picture={picture}
            names={names}
            onBlob={(blob) => {
              setPicture({ blob, url: URL.createObjectURL(blob), label: undefined });
            }}
          />
          {samples.length > 0 && (
            <div class="samples">
              <p class="help">{t('tryOutSamples')}</p>
              <div>
                {samples.map(({ image, label }, index) => (
                  <button
                    key={index}
                    type="button"
                    aria-label={t('imageAlt', { index, label: names[label] ?? label })}
                    aria-pressed={picture?.url === image}
                    onClick={() => {
                      void fetch(image)
                        .then((response) => response.blob())
                        .then((blob) => {
                          setPicture({ blob, url: image, label });
                        });
                    }}
                  >
                    <img src={image} alt="" width="44" height="44" />
                  </button>
                ))}
              </div>
            </div>
          )}
        </div>
        <Answers
          outcome={outcome}
          pair={pair}
          label={picture?.label}
          hasSamples={samples.length > 0}
        />
      </div>
    </Section>
  );
}

const byId = (runs: readonly RunData[], id: string | undefined): RunData | undefined =>
  runs.find((run) => run.id === id);

/** What the models of two runs take; undefined until it is known. */
function useDescribed(models: Models, pair: readonly string[]): readonly TryOutModel[] | undefined {
  const [described, setDescribed] = useState<readonly TryOutModel[]>();
  useEffect(() => {
    let isCurrent = true;
    setDescribed(undefined);
    void Promise.all(pair.map((run) => models.describe(run)))
      .catch(() => undefined)
      .then((found) => {
        if (isCurrent) setDescribed(found);
      });
    return () => {
      isCurrent = false;
    };
  }, [models, ...pair]);
  return described;
}

interface Task {
  readonly pair: readonly string[];
  readonly described: readonly TryOutModel[] | undefined;
  readonly backend: Backend;
  readonly picture: Picture | undefined;
}

/** Runs both models whenever something changes; the worker starts with the first picture. */
function useOutcome(models: Models, task: Task): Outcome {
  const { pair, described, backend, picture } = task;
  const [{ of, outcome }, setKept] = useState<Kept>({ of: undefined, outcome: { state: 'idle' } });
  const engine = useRef<Promise<Engine> | undefined>(undefined);
  useEffect(
    () => () => {
      void engine.current?.then((started) => {
        started.stop();
      });
    },
    [],
  );
  useEffect(() => {
    if (!picture || !described) return undefined;
    let isCurrent = true;
    setKept((before) => ({ of: task, outcome: busyAfter(before.outcome) }));
    const work = async (): Promise<Outcome> => {
      const inputs = await Promise.all(
        described.map((model) => imageInput(picture.blob, model)),
      ).catch(() => undefined);
      if (!inputs) return { state: 'unreadable' };
      engine.current ??= Engine.start(models);
      const results = await (await engine.current).run(pair, backend, inputs);
      return { state: 'done', models: described, results };
    };
    void work()
      .catch((error: unknown): Outcome => ({
        state: 'failed',
        message: error instanceof Error ? error.message : String(error),
      }))
      .then((made) => {
        if (isCurrent) setKept({ of: task, outcome: made });
      });
    return () => {
      isCurrent = false;
    };
  }, [models, described, backend, picture]);
  // Effects come after the picture is drawn: the answer to another one is none from the first frame on.
  const isAnswer = of?.backend === backend && of.described === described && of.picture === picture;
  return isAnswer || !picture || !described ? outcome : busyAfter(outcome);
}

interface Kept {
  /** What was asked. */
  readonly of: Task | undefined;
  readonly outcome: Outcome;
}

const busyAfter = (before: Outcome): Outcome => ({
  state: 'busy',
  last: before.state === 'done' ? before : before.state === 'busy' ? before.last : undefined,
});

interface DropProps {
  readonly picture: Picture | undefined;
  readonly names: readonly string[];
  readonly onBlob: (blob: Blob) => void;
}

function DropZone({ picture, names, onBlob }: DropProps) {
  const { t } = usePage();
  const [isOver, setOver] = useState(false);
  const accept = (files: FileList | null | undefined): void => {
    const file = files?.[0];
    if (file) onBlob(file);
  };
  return (
    <label
      class={isOver ? 'drop over' : 'drop'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => {
        setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        accept(event.dataTransfer?.files);
      }}
    >
      {picture ? (
        <img src={picture.url} alt={t('chosenImage')} width="120" height="120" />
      ) : (
        <span class="plus" aria-hidden="true">
          +
        </span>
      )}
      <span>
        {picture?.label === undefined
          ? t('dropImage')
          : t('isClass', { label: names[picture.label] ?? '' })}
      </span>
      <input
        type="file"
        accept="image/*"
        onChange={(event) => {
          accept(event.currentTarget.files);
        }}
      />
    </label>
  );
}

interface AnswersProps {
  readonly outcome: Outcome;
  readonly pair: readonly string[];
  readonly label: number | undefined;
  /** Without the data set there are no test images to choose. */
  readonly hasSamples: boolean;
}

function Answers({ outcome, pair, label, hasSamples }: AnswersProps) {
  const { t, data } = usePage();
  const done =
    outcome.state === 'done' ? outcome : outcome.state === 'busy' ? outcome.last : undefined;
  const [first, second] = done?.results ?? [];
  return (
    <div class="answers" aria-live="polite" aria-busy={outcome.state === 'busy'}>
      {outcome.state === 'unreadable' && <p class="note">{t('tryOutUnreadable')}</p>}
      {outcome.state === 'failed' && (
        <p class="note">{t('tryOutFailed', { message: outcome.message })}</p>
      )}
      {outcome.state === 'idle' && (
        <p class="help">{t(hasSamples ? 'tryOutIdle' : 'tryOutIdleNoSamples')}</p>
      )}
      {outcome.state === 'busy' && !done && <p class="help">{t('tryOutLoading')}</p>}
      {done && first && (
        <>
          <div class={outcome.state === 'busy' ? 'pair busy' : 'pair'}>
            {done.results.map((result, i) => (
              <ModelAnswer
                key={i}
                name={pair[i] ?? ''}
                run={data.runs.find(({ id }) => id === pair[i])}
                result={result}
                classes={done.models[i]?.classes ?? []}
                label={label}
                slowest={Math.max(...done.results.map(({ medianMs }) => medianMs))}
              />
            ))}
          </div>
          {outcome.state === 'busy' ? (
            <p class="help">{t('tryOutBusy')}</p>
          ) : second ? (
            <p class={first.medianMs >= second.medianMs ? 'speedup' : 'speedup slower'}>
              <b>{t('asFast', { value: digits(first.medianMs / second.medianMs) })}</b>{' '}
              {t('asFastWhere', { first: pair[0] ?? '', second: pair[1] ?? '' })}
            </p>
          ) : null}
        </>
      )}
    </div>
  );
}

interface ModelAnswerProps {
  readonly name: string;
  readonly run: RunData | undefined;
  readonly result: RunResult;
  readonly classes: readonly string[];
  readonly label: number | undefined;
  readonly slowest: number;
}

function ModelAnswer({ name, run, result, classes, label, slowest }: ModelAnswerProps) {
  const { t, colourOf } = usePage();
  const { probabilities, medianMs, times } = result;
  const best = Array.from(probabilities, (probability, index) => ({ probability, index }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, 5);
  const colour = run ? colourOf(run) : 'var(--accent)';
  return (
    <div class="model-answer" style={{ '--colour': colour }}>
      <h3>
        {run ? <RunMark method={run.method} colour={colour} /> : <i class="dot" />}
        {name}
      </h3>
      <p class="help">
        {run?.size &&
          t('modelSize', {
            parameters: count(run.size.parameters),
            macs: count(run.size.macs),
            bytes: bytes(run.size.bytes),
          })}
      </p>
      <ol>
        {best.map(({ probability, index }, place) => (
          <li key={index} class={place === 0 ? 'top' : ''}>
            <span>
              {classes[index] ?? index}
              {index === label && <span class="right-mark"> ✓</span>}
            </span>
            <span>{percent(probability, 1)}</span>
            <i style={{ width: `${100 * probability}%` }} />
          </li>
        ))}
      </ol>
      <div class="timing">
        <i style={{ width: `${(100 * medianMs) / slowest}%` }} />
        <span>
          <b>{milliseconds(medianMs)}</b> {t('perImage', { times })}
        </span>
      </div>
    </div>
  );
}
