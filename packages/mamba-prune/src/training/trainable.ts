/** What can be trained and evaluated. */
import type { Tensor, nn } from '@mamba-prune/libtorch';

/** Anything that can be trained: from images [batch, channels, height, width] to logits [batch, classes]. */
export type Trainable = nn.Module & { forward(images: Tensor): Tensor };
