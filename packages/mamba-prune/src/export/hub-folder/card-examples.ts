// What a model card shows of programs that run the model.
import type { ImageModel } from '../../models/image-model.js';
import { moduleOf } from '../../models/families.js';
import { handedOnModule } from '../../models/handed-on.js';
import type { ModelInfo } from '../../models/model-file.js';
import { shorterSide } from '../../preparation/geometry.js';
import { preprocessingOf } from '../../preparation/preprocessing.js';
import { shellCommand } from '../../shell.js';

/** How a picture becomes the pixels of the model, in sentences. */
export function frameRule({ channels, imageSize }: ImageModel['config'], info: ModelInfo): string {
  const { interpolation, cropShare } = preprocessingOf(info, imageSize);
  const sentences = [
    `A picture is resized (${interpolation}, with antialiasing) so that its shorter side has ` +
      `${shorterSide(imageSize, cropShare)} pixels, and the centre of ${imageSize} x ${imageSize} is cut out.`,
    ...(cropShare < 1
      ? [
          `mamba-prune takes a picture that has ${imageSize} x ${imageSize} pixels already as it is; image processors resize ` +
            'and cut that too.',
        ]
      : []),
    'Pixels from 0 to 1 are normalised with `image_mean` and `image_std` of preprocessor_config.json.',
    ...(channels === 1
      ? [
          'The model sees grey, which the ONNX files make of the three channels that they are given.',
        ]
      : []),
    'transformers.js resizes without antialiasing (in Node.js) or by the canvas (in browsers), so that its probabilities ' +
      'differ a little for pictures of other sizes.',
  ];
  return sentences.join(' ');
}

export function examplesOf({ config }: ImageModel, info: ModelInfo, repo: string): string {
  const { imageSize } = config;
  const module = handedOnModule(moduleOf(config.family));
  const plugin = module === undefined ? '' : ` ${shellCommand(['--plugin', module])}`;
  const needed =
    module === undefined
      ? ''
      : ' The architecture is none of mamba-prune itself: `--plugin` names the module that registers it, which is not in this ' +
        'repository. The ONNX files need none.';
  const { interpolation, cropShare } = preprocessingOf(info, imageSize);
  return `## Use

On the command line, in the precision of the weights, where \`eval\`, \`prune\`, \`train --from\` and the other commands take it too:${needed}

\`\`\`sh
npx mamba-prune predict hf:${repo} picture.jpg${plugin}
\`\`\`

In JavaScript, in Node.js and in browsers:

\`\`\`js
import { pipeline } from '@huggingface/transformers';

const classify = await pipeline('image-classification', '${repo}', { dtype: 'fp32' });
console.log(await classify('picture.jpg'));
\`\`\`

transformers.js looks for a class by the \`model_type\` of config.json and knows none for this model. \`fastvit\` stands there because
it is run alike: one graph from \`pixel_values\` to \`logits\`. Python's transformers has no class for the model either. In Python,
onnxruntime runs the graph, here in a copy of this repository:

\`\`\`python
import json
import numpy, onnxruntime
from PIL import Image

side, shorter = ${imageSize}, ${shorterSide(imageSize, cropShare)}
image = Image.open("picture.jpg").convert("RGB")
scale = shorter / min(image.size)
image = image.resize([int(length * scale + 1e-6) for length in image.size], Image.Resampling.${interpolation.toUpperCase()})
left, top = [(length - side) // 2 for length in image.size]
pixels = numpy.asarray(image.crop((left, top, left + side, top + side)), numpy.float32) / 255
prepared = json.load(open("preprocessor_config.json"))
pixels = (pixels - prepared["image_mean"]) / prepared["image_std"]
pixel_values = pixels.transpose(2, 0, 1)[None].astype(numpy.float32)
session = onnxruntime.InferenceSession("onnx/model.onnx")
(logits,) = session.run(["logits"], {"pixel_values": pixel_values})
print(json.load(open("config.json"))["id2label"][str(logits.argmax())])
\`\`\``;
}
