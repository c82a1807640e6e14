// The page: takes a picture, asks the worker, shows the five likeliest classes.
import type { Provider } from './model.js';
import type { Guess, Reply, Request } from './worker.js';

function find<T extends HTMLElement>(selector: string, type: new () => T): T {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`index.html has no ${selector}`);
  return found;
}
const drop = find('.drop', HTMLLabelElement);
const input = find('#file', HTMLInputElement);
const preview = find('#preview', HTMLImageElement);
const status = find('#status', HTMLElement);
const classes = find('#classes', HTMLElement);
const gpu = find('[value=webgpu]', HTMLInputElement);

const percent = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 1 });
const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
const url = new URL('model.onnx', document.baseURI).href;
let picture: File | undefined;
/** Requests without a reply. Only the reply to the last is shown. */
let pending = 0;

const provider = (): Provider => (gpu.checked ? 'webgpu' : 'wasm');

function ask(): void {
  pending++;
  document.body.ariaBusy = 'true';
  status.className = '';
  status.textContent = picture ? 'Looking at the picture ...' : 'Loading the model ...';
  worker.postMessage({ url, provider: provider(), picture } satisfies Request);
}

function show({ error, answer, threads }: Reply): void {
  const cpu = `WebAssembly with ${threads ?? 1} thread${threads === 1 ? '' : 's'}`;
  const where = gpu.checked ? 'WebGPU' : cpu;
  document.body.ariaBusy = 'false';
  preview.hidden = !answer;
  classes.replaceChildren(...(answer?.best ?? []).map(row));
  status.className = error === undefined ? '' : 'error';
  status.textContent = error ?? `The model is ready on ${where}.`;
  if (!answer) return;
  const [run, other] = [answer.runMs, answer.otherMs].map((ms) => `${ms.toFixed(1)} ms`);
  status.textContent = `The model took ${run} on ${where}. Decoding and preparing took ${other}.`;
}

function row({ name, probability }: Guess): HTMLElement {
  const [item, value] = [document.createElement('li'), document.createElement('data')];
  value.value = String(probability);
  value.textContent = percent.format(probability);
  item.style.setProperty('--share', value.value);
  item.append(name, value);
  return item;
}

function take(file: File | undefined): void {
  if (!file) return;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  picture = file;
  ask();
}

worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
  if (--pending === 0) show(data);
});
worker.addEventListener('error', () => {
  show({ error: 'dist/worker.js did not start. Build the page with: npm run build' });
});
input.addEventListener('change', () => {
  take(input.files?.[0]);
  input.value = ''; // So that the same file can be chosen again.
});
// On the whole page, which the browser would leave for a picture that is dropped beside the frame.
for (const type of ['dragover', 'dragleave', 'drop'] as const) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle('over', type === 'dragover');
    if (type === 'drop') take(event.dataTransfer?.files[0]);
  });
}
find('fieldset', HTMLFieldSetElement).addEventListener('change', ask);
ask();
const { gpu: api } = navigator as Partial<Pick<Navigator, 'gpu'>>;
gpu.disabled = !(await api?.requestAdapter().catch(() => null));
if (gpu.disabled) gpu.parentElement?.append(', which this browser does not have');
