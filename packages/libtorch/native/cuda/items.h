// Kernels over lists of any length, whose blocks find their item by kernels/items.cuh.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace mamba_prune::cuda {

/**
 * Hands a list to a kernel, as many items at a time as its arguments hold.
 *
 * @tparam Args of the kernel: `count` items `of`, each with its `first_block`
 * @param common what every launch is given beside its items
 * @param fill of (item, index in the list): sets all but `first_block`, and tells how many blocks the item takes; one
 * of no blocks is left out
 * @param launch of (Args&, blocks), for every part of the list that takes any
 */
template <class Args, class Fill, class Launch>
void launch_items(size_t length, const Args& common, const Fill& fill, const Launch& launch) {
  constexpr size_t kMost = std::extent_v<decltype(Args::of)>;
  for (size_t begin = 0; begin < length; begin += kMost) {
    Args args = common;
    int64_t blocks = 0;
    for (size_t i = begin; i < std::min(length, begin + kMost); i++) {
      auto& item = args.of[args.count];
      const int64_t own = fill(item, i);
      if (own == 0) continue;
      item.first_block = static_cast<int>(blocks);
      blocks += own, args.count++;
    }
    if (blocks > 0) launch(args, blocks);
  }
}

}  // namespace mamba_prune::cuda
