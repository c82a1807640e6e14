// A second stream for what nothing else of a backward pass waits for: gradients of weights, and the last step of sums.
#pragma once
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <optional>
#include <vector>

namespace mamba_prune::cuda {

/**
 * While it lives, work of this thread may be given to a second stream. It runs beside what the current stream is given
 * later, and `join` makes the current stream wait for it. Works inside a captured graph, as parallel branches.
 */
class Aside {
 public:
  Aside();
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside();
  /** That of this thread; null where there is none. */
  static Aside* current();
  /**
   * Runs after all that the current stream has been given so far. `work` must allocate nothing, and what it uses must
   * live until `join`: see `keep`.
   */
  template <class Work> void run(const Work& work) {
    before_.record(main_);
    before_.block(side_);
    const c10::cuda::CUDAStreamGuard on(side_);
    work();
    used_ = true;
  }
  /** Holds a tensor until `join`. */
  void keep(at::Tensor t) { kept_.push_back(std::move(t)); }
  void join();

 private:
  c10::cuda::CUDAStream main_, side_;
  at::cuda::CUDAEvent before_, after_;
  std::vector<at::Tensor> kept_;
  Aside* outer_;
  bool used_ = false;
};

/** On the second stream where there is one, else here and now. */
template <class Work> void aside(const Work& work) {
  if (Aside* beside = Aside::current()) beside->run(work);
  else work();
}

}  // namespace mamba_prune::cuda
