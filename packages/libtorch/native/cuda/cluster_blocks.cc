// mamba_prune::cluster_blocks: all blocks of a vision Mamba in one launch (kernels/cluster_blocks.cu), for inference on
// few images: a cluster of multiprocessors shares an image, and nobody waits for launches.
#include <ATen/cuda/CUDAContext.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <map>
#include <mutex>

#include "cluster_pack.h"
#include "kernel.h"
#include "kernels/cluster_interface.h"
#include "launch.h"
#include "layer_util.h"

namespace mamba_prune::cuda::cluster_op {

using at::Tensor;

namespace {

constexpr const char* kName = "cluster_blocks";

// What a stack of blocks asks of the kernel.
struct Stack {
  int64_t length, model, cluster, groups;
  std::vector<cluster_kernel::BlockOf> blocks;
  int channels = 0, neurons = 0;  // the largest slices
  int64_t bytes = 0;              // of all weights

  // sizes: channels and neurons of each block
  Stack(int64_t length_, int64_t model_, int64_t cluster_, int64_t groups_, at::IntArrayRef sizes)
      : length(length_), model(model_), cluster(cluster_), groups(groups_) {
    TORCH_CHECK(
        length > 0 && model > 0 && (cluster == 8 || cluster == 16) && (groups == 1 || groups == 2 || groups == 4),
        kName, ": got ", length, " tokens, d_model ", model, " and clusters of ", cluster, " in ", groups,
        " groups, expected clusters of 8 or 16 in 1, 2 or 4 groups for tokens of d_model numbers.");
    TORCH_CHECK(!sizes.empty() && sizes.size() % 2 == 0, kName, ": got ", sizes.size(),
                " sizes, expected the channels and the neurons of each block.");
    for (size_t i = 0; i < sizes.size(); i += 2) {
      TORCH_CHECK(sizes[i] > 0 && sizes[i + 1] > 0 && sizes[i] < 16384 && sizes[i + 1] < 16384, kName, ": got ",
                  sizes[i], " channels and ", sizes[i + 1], " neurons, expected 1 to 16383.");
      const int of = static_cast<int>(cluster), m = static_cast<int>(model);
      cluster_kernel::BlockOf b{};
      b.at = bytes, b.order = -1;
      b.channels = static_cast<short>(cluster_kernel::slice_of(static_cast<int>(sizes[i]), of, 8));
      const int group = of / static_cast<int>(groups);
      b.neurons = static_cast<short>(cluster_kernel::slice_of(static_cast<int>(sizes[i + 1]), group, 16));
      bytes += cluster * cluster_kernel::ssm_part(b.channels, m).bytes +
               group * cluster_kernel::mlp_part(b.neurons, m).bytes;
      channels = std::max<int>(channels, b.channels), neurons = std::max<int>(neurons, b.neurons);
      blocks.push_back(b);
    }
  }
  cluster_kernel::Plan plan() const {
    return cluster_kernel::plan_of(static_cast<int>(length), static_cast<int>(model), static_cast<int>(cluster),
                                   static_cast<int>(groups), channels, neurons);
  }
  int64_t shared_bytes() const { return plan().bytes; }
  // Whether the current GPU has what it takes, but for room for a cluster.
  bool fits(at::ScalarType type) const {
    const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
    constexpr int64_t kMaxLength = 1024, kMaxModel = 1024, kStatic = 16384;  // so that no product below overflows
    return device->major == 9 && device->minor == 0 && (type == at::kBFloat16 || type == at::kHalf) &&
           model % 16 == 0 && length <= kMaxLength && model <= kMaxModel && groups_have_tiles() &&
           blocks.size() <= cluster_kernel::kMaxBlocks &&
           shared_bytes() + kStatic <= static_cast<int64_t>(device->sharedMemPerBlockOptin);
  }
  bool groups_have_tiles() const {
    const cluster_kernel::Plan p = plan();
    return groups == 1 || (p.all == p.rows && p.all / groups % 16 == 0);
  }
  const Kernel& kernel(at::ScalarType type) const {
    return find_kernel("cluster_blocks.cu", "cluster_blocks",
                       {{"SCALAR", scalar_code(type)},
                        {"MODEL", model},
                        {"LENGTH", length},
                        {"CLUSTER", cluster},
                        {"GROUPS", groups}});
  }
  // Asked once: a launch must not wait for the driver's answer.
  int64_t images_at_a_time(at::ScalarType type) const {
    static std::mutex mutex;
    static std::map<std::pair<const Kernel*, int64_t>, int64_t> known;
    const Kernel& of = kernel(type);
    const std::lock_guard<std::mutex> lock(mutex);
    const auto [place, is_new] = known.try_emplace({&of, shared_bytes()}, 0);
    if (is_new)
      place->second = of.active_clusters(static_cast<unsigned>(cluster), cluster_kernel::kThreads,
                                         static_cast<unsigned>(shared_bytes()));
    return place->second;
  }
};

int64_t images(const Tensor& like, int64_t length, int64_t model, int64_t cluster, int64_t groups,
               at::IntArrayRef sizes) {
  if (!like.is_cuda()) return 0;
  const c10::DeviceGuard guard(like.device());
  const Stack stack(length, model, cluster, groups, sizes);
  return stack.fits(like.scalar_type()) ? stack.images_at_a_time(like.scalar_type()) : 0;
}

// weights: of all blocks, one after another.
Tensor units(at::TensorList weights, int64_t cluster, int64_t groups, const Tensor& like) {
  const char* op = "cluster_units";
  constexpr size_t each = Block::kWeights;
  TORCH_CHECK(!weights.empty() && weights.size() % each == 0, op, ": got ", weights.size(), " weights, expected ", each,
              " for each block: four of the normalisations, nine of the SSM with one direction, four of the MLP.");
  const c10::DeviceGuard guard(weights[0].device());
  std::vector<Block> blocks;
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < weights.size(); i += each) {
    const Block& block = blocks.emplace_back(weights.slice(i, each));
    block.check(op);
    TORCH_CHECK(block.model() % 16 == 0 && block.model() == blocks[0].model() &&
                    block.states() <= cluster_kernel::kStates && block.rank() <= cluster_kernel::kRank &&
                    block.taps() <= cluster_kernel::kTaps,
                op, ": got d_model ", block.model(), ", d_state ", block.states(), ", dt_rank ", block.rank(), " and ",
                block.taps(), " taps, expected one d_model, a multiple of 16, and at most ", cluster_kernel::kStates,
                ", ", cluster_kernel::kRank, " and ", cluster_kernel::kTaps, ".");
    sizes.push_back(block.channels()), sizes.push_back(block.neurons());
  }
  // Straight to their place: parts of all blocks to be joined at the end would need the memory twice.
  const Stack stack(1, blocks[0].model(), cluster, groups, sizes);
  const Tensor all = at::empty({stack.bytes}, blocks[0].fc1.options().dtype(at::kByte));
  for (size_t i = 0; i < blocks.size(); i++) {
    const Tensor part = packed(blocks[i], cluster, groups, like.scalar_type());
    all.narrow(0, stack.blocks[i].at, part.numel()).copy_(part);
  }
  return all;
}

// orders: how the tokens are reordered before each block, as for reorder_tokens, -1 for not at all.
Tensor blocks(const Tensor& x_, double eps, const Tensor& weights, int64_t cluster, int64_t groups,
              at::IntArrayRef sizes, at::IntArrayRef orders) {
  const c10::DeviceGuard guard(x_.device());
  check_rows(kName, x_);
  Stack stack(x_.size(1), x_.size(2), cluster, groups, sizes);
  TORCH_CHECK(stack.fits(x_.scalar_type()), kName, ": got x of ", x_.scalar_type(), " with ", stack.length,
              " tokens of d_model ", stack.model, ", ", stack.blocks.size(), " blocks and ", stack.shared_bytes(),
              " bytes of shared memory, expected 16 bits, d_model a multiple of 16, at most ",
              cluster_kernel::kMaxBlocks, " blocks and what a multiprocessor of compute capability 9.0 has.");
  check_shape(kName, "weights", weights, {stack.bytes}, at::kByte, x_);
  TORCH_CHECK(orders.size() == stack.blocks.size(), kName, ": got ", orders.size(), " orders of ", stack.blocks.size(),
              " blocks, expected one for each.");
  const Tensor x = aligned(x_), all = aligned(weights), out = at::empty_like(x);
  if (x.size(0) == 0) return out;
  cluster_kernel::ClusterArgs<void> a{};
  a.x = x.data_ptr(), a.out = out.data_ptr(), a.weights = static_cast<const unsigned char*>(all.data_ptr());
  a.blocks = static_cast<int>(stack.blocks.size()), a.channels = stack.channels, a.neurons = stack.neurons;
  a.eps = static_cast<float>(eps);
  for (size_t i = 0; i < stack.blocks.size(); i++) {
    TORCH_CHECK(orders[i] <= 0 || orders[i] * orders[i] == stack.length, kName, ": got order ", orders[i], " for ",
                stack.length, " tokens, expected the side of their grid, 0 or -1.");
    a.block[i] = stack.blocks[i], a.block[i].order = static_cast<int>(orders[i]);
  }
  TORCH_CHECK(stack.images_at_a_time(x.scalar_type()) > 0, kName, ": got clusters of ", cluster,
              " multiprocessors, expected as many as this GPU has side by side.");
  TORCH_CHECK(x.size(0) <= 65536, kName, ": got ", x.size(0), " images, expected few: at most 65536.");
  const Kernel& kernel = stack.kernel(x.scalar_type());
  kernel.launch({static_cast<unsigned>(x.size(0) * cluster)}, cluster_kernel::kThreads,
                static_cast<unsigned>(stack.shared_bytes()), a);
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("cluster_images(Tensor like, int length, int d_model, int cluster, int groups, int[] sizes) -> int");
  m.def("cluster_units(Tensor[] weights, int cluster, int groups, Tensor like) -> Tensor");
  m.def(
      "cluster_blocks(Tensor x, float eps, Tensor weights, int cluster, int groups, int[] sizes, int[] orders) -> "
      "Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("cluster_images", images), m.impl("cluster_units", units), m.impl("cluster_blocks", blocks);
}

}  // namespace mamba_prune::cuda::cluster_op
