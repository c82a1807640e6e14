// The elements of one item of a launch (items.cuh) that a block works on, four of them at a time where all the item's
// tensors allow it.
#pragma once

/** @tparam PerThread elements, a multiple of four */
template <int Threads, int PerThread> class Elements {
 public:
  static constexpr int kFours = PerThread / 4;

  /** @param addresses of all tensors of the item, or'ed: fours need each to be a multiple of 16 bytes */
  template <class Item> __device__ __forceinline__ Elements(const Item& item, u64 addresses)
      : first((blockIdx.x - item.first_block) * (Threads * PerThread)),
        end(min(first + Threads * PerThread, item.size)),
        aligned(addresses % 16 == 0) {}
  /** Where a thread's four of number j begins. */
  __device__ __forceinline__ int place(int j) const { return first + 4 * (j * Threads + (int)threadIdx.x); }
  __device__ __forceinline__ bool whole(int j) const { return aligned && place(j) + 4 <= end; }
  /** One after the other, those of a four that is not whole. */
  template <class Each> __device__ __forceinline__ void rest(int j, const Each& each) const {
    for (int i = place(j); i < min(place(j) + 4, end); i++) each(i);
  }

 private:
  int first, end;
  bool aligned;
};

__device__ __forceinline__ float4& four_at(float* p, int i) { return *reinterpret_cast<float4*>(p + i); }
__device__ __forceinline__ float4 four_at(const float* p, int i) { return *reinterpret_cast<const float4*>(p + i); }
/** A step of an optimizer on four elements: of each the parameter, what is kept of it, and its gradient. */
template <class Step, class... Kept> __device__ __forceinline__ void apply_to_four(const Step& step, Kept&... of) {
  step.apply(of.x...), step.apply(of.y...), step.apply(of.z...), step.apply(of.w...);
}
