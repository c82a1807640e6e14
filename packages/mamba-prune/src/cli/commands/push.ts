import { programWords } from '../../called-as.js';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { bytes, plural } from '../../format.js';
import { checkRepo, isPublishedName } from '../../hub-names.js';
import type { PushResult } from '../../hub/push.js';
import { isHubSpec } from '../../hub/spec.js';
import { shellCommand } from '../../shell.js';
import { modelFileName } from '../../workflows/model-path.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { noteLeftOut, noteNoLicense } from '../hub-export.js';
import { findModel } from '../model-argument.js';
import { type ModelFacts, openModel } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { checkHubOptions, licenseOption } from '../options/hub.js';
import { type ImportFlags, addImportOptions, modelArgument } from '../options/import.js';
import { addOptions } from '../options/parse.js';
import { showTransfer } from '../transfer-progress.js';
import { interruptible } from '../work.js';

interface PushCommandOptions extends CommonOptions, ImportFlags {
  readonly create?: true;
  readonly private?: true;
  readonly message?: string;
  readonly revision: string;
  readonly license?: string;
}

type PushContext = Context<PushCommandOptions>;

export function addPushCommand(program: Command, cli: Cli): void {
  const command = program
    .command('push')
    .summary('upload a model to the Hugging Face Hub')
    .description(
      'Uploads a folder that export --format hf has written as one commit of a repository. A model or a run becomes such ' +
        'a folder first, for the time of the upload. The token is that of HF_TOKEN, or the one that hf auth login stored; ' +
        'HF_ENDPOINT names another hub. Afterwards every command takes hf:owner/name in place of MODEL.',
    )
    .argument('<FOLDER|MODEL|RUN>', `folder of export --format hf; or a ${modelArgument}`)
    .argument('<REPO>', 'owner/name');
  addOptions(command, [
    new Option('--create', 'make the repository and the branch where they are missing'),
    new Option(
      '--private',
      'with --create: make it private, and refuse a public one that is there',
    ),
    new Option('--revision <branch>', 'branch to commit to').default('main', 'main'),
    new Option(
      '--message <text>',
      'title of the commit (default: Upload, and the name of the repository)',
    ),
    licenseOption(),
  ]);
  addImportOptions(command);
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    [
      'What was exported, into a new repository',
      'mamba-prune push hub/pruned me/mamba-small-pruned --create --private',
    ],
    ['A run, exported on the way', 'mamba-prune push runs/pruned me/pruned --license mit'],
  ]);
  action<PushCommandOptions>(cli, command, async (context, argument, repo) => {
    const { options } = context;
    const name = repo.replace(/^hf:/, '');
    checkRepo('push', name);
    checkHubOptions(options);
    if (options.private === true && options.create !== true) {
      throw new UsageError(
        '--private: is about a repository that push makes, expected --create beside it. Give both.',
      );
    }
    const { isHubFolder } = await import('../../hub/folder.js');
    const isFolder = isHubFolder(argument);
    // Before the token, which a slip in the name does not need; what has to be downloaded is looked for after it.
    if (isFolder) await checkExport(context, argument);
    else if (!isRemote(argument)) {
      checkIsModel(argument);
      await findModel(context, argument);
    }
    if (isFolder && options.license !== undefined) {
      throw new UsageError(
        `--license: ${argument} has its card already, expected a model or a run beside it. Edit the README.md in it.`,
      );
    }
    await push(context, argument, name, isFolder);
  });
}

/** @throws UsageError, FormatError for a folder whose weights are missing or damaged: nobody could read the repository */
async function checkExport(context: PushContext, folder: string): Promise<void> {
  const weights = join(folder, modelFileName);
  if (!existsSync(weights)) {
    throw new UsageError(
      `${folder} has no ${modelFileName}, expected the whole folder that export --format hf has written. Export the model again.`,
    );
  }
  const { checkModelFile } = await import('../../models/model-file.js');
  checkModelFile(weights);
  if (!existsSync(join(folder, 'README.md'))) {
    context.note(`${folder} has no README.md, so that the repository gets no model card from it.`);
  }
}

/** @throws UsageError for a folder that is neither an export nor anything with one model */
function checkIsModel(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  if (readdirSync(path).some((name) => /\.(safetensors|pt|pth|bin|ckpt|json)$/.test(name))) return;
  throw new UsageError(
    `${path} is a folder without a model, expected one that export --format hf has written, or the folder of a run. ` +
      'Write one: mamba-prune export MODEL --format hf --out DIR.',
  );
}

const isRemote = (argument: string): boolean => isHubSpec(argument) || isPublishedName(argument);

async function push(
  context: PushContext,
  argument: string,
  repo: string,
  isFolder: boolean,
): Promise<void> {
  const { pushPlace } = await import('../../hub/push.js');
  const { revision } = context.options;
  // An export may take long: what is missing to upload it is said before.
  pushPlace(repo, { revision });
  const draft = isFolder ? undefined : mkdtempSync(join(tmpdir(), 'mamba-prune-push-'));
  try {
    const facts =
      draft === undefined ? undefined : await exportInto(context, argument, repo, draft);
    print(context, await upload(context, draft ?? argument, repo), facts);
  } finally {
    if (draft !== undefined) rmSync(draft, { recursive: true, force: true });
  }
}

async function exportInto(
  context: PushContext,
  argument: string,
  repo: string,
  folder: string,
): Promise<ModelFacts> {
  const { license } = context.options;
  if (license === undefined) noteNoLicense(context);
  const { model, info, facts } = await openModel(context, argument);
  try {
    const { exportHubFolder } = await import('../../export/hub-folder/write-folder.js');
    noteLeftOut(context, await exportHubFolder(folder, model, info, { repo, license }));
    return facts;
  } finally {
    model.dispose();
  }
}

/** @throws InterruptedError with the command that goes on */
async function upload(context: PushContext, folder: string, repo: string): Promise<PushResult> {
  const { pushToHub } = await import('../../hub/push.js');
  const { options, progress, argv } = context;
  const { create, revision, message } = options;
  try {
    return await interruptible(context, (signal) =>
      pushToHub(folder, repo, {
        create,
        revision,
        message,
        private: options.private,
        signal,
        onProgress: ({ sent, total }) => {
          showTransfer(progress, 'upload', sent, total);
        },
      }),
    );
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    throw new InterruptedError(
      'Stopped. Nothing was committed.',
      shellCommand([...programWords(), ...argv]),
    );
  }
}

function print(context: PushContext, result: PushResult, facts: ModelFacts | undefined): void {
  const { repo, revision, commit, url, created, files } = result;
  const fileBytes = files.reduce((sum, file) => sum + file.fileBytes, 0);
  context.json({ ...facts, ...result, fileBytes });
  context.title(url);
  context.facts([
    ['repository', `${repo}${created ? ', made' : ''}`],
    ['branch', revision],
    ['commit', commit],
    ['files', `${plural(files.length, 'file')}, ${bytes(fileBytes)}`],
    ['as MODEL', `hf:${repo}${revision === 'main' ? '' : `@${revision}`}`],
  ]);
}
