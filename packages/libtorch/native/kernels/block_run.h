// Runs a whole block for inference, of one architecture or another.
#pragma once
#include "block_args.h"

namespace mamba_prune {

/** Everything but `packed` and `buffers` is given; batch, length and all sizes that the block has are above 0. */
void run_block(BlockArgs a);

}  // namespace mamba_prune
