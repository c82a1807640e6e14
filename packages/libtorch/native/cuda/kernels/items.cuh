// Which of a launch's items a block works on, where each has blocks of its own, one after the other.
#pragma once

/** @tparam Args with `count` items `of`, each with its `first_block` */
template <class Args> __device__ __forceinline__ const auto& item_of(const Args& a) {
  int which = 0, behind = a.count;
  while (behind - which > 1) {
    const int middle = (which + behind) / 2;
    if ((int)blockIdx.x >= a.of[middle].first_block) which = middle;
    else behind = middle;
  }
  return a.of[which];
}
