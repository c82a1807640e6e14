#include "gemm.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <vector>

namespace mamba_prune::cuda {

namespace {

// The most that an algorithm may want. Few want any.
constexpr size_t kMostWorkspace = 32 << 20;

void check(cublasStatus_t status, const char* what) {
  TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS, "CUDA: cuBLASLt: ", what, " failed with status ",
              static_cast<int>(status));
}

cudaDataType_t type_of(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16: return CUDA_R_16BF;
    case at::kHalf: return CUDA_R_16F;
    case at::kFloat: return CUDA_R_32F;
    default: TORCH_CHECK(false, "CUDA: got a product of type ", type, ", expected float32, float16 or bfloat16.");
  }
}

template <class T, cublasStatus_t (*Destroy)(T)> struct Owned {
  T value{};
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value) Destroy(value);
  }
};
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class V> void set(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute, V value) {
  check(cublasLtMatmulDescSetAttribute(d, attribute, &value, sizeof value), "setting an attribute");
}

// One for each thread and device, ours: libtorch's is its handle of cuBLAS, for which it takes 32 MiB on each stream of
// a Hopper for good.
cublasLtHandle_t handle() {
  // Never destroyed: at the end of the process the driver may be gone before we are.
  thread_local auto* const all = new std::map<int, cublasLtHandle_t>();
  cublasLtHandle_t& made = (*all)[static_cast<int>(c10::cuda::current_device())];
  if (!made) {
    // Whatever this asks of the driver belongs to no graph that is being captured.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    C10_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
    const cublasStatus_t status = cublasLtCreate(&made);
    C10_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
    check(status, "a handle");
  }
  return made;
}

struct Workspace {
  void* data;
  size_t bytes;
};

// Scratch memory of the current device and stream, at least so many bytes. All of it is kept: captured graphs refer to
// it. Whoever needs more than there is takes at least twice as much, so that all together are less than twice the last.
Workspace workspace(size_t bytes) {
  if (bytes == 0) return {nullptr, 0};
  static std::mutex mutex;
  static auto* kept = new std::map<std::pair<int, void*>, std::vector<at::Tensor>>();
  const auto stream = c10::cuda::getCurrentCUDAStream();
  const std::lock_guard<std::mutex> lock(mutex);
  auto& all = (*kept)[{static_cast<int>(stream.device_index()), static_cast<void*>(stream.stream())}];
  const size_t last = all.empty() ? 0 : static_cast<size_t>(all.back().numel());
  if (last < bytes) {
    const auto count = static_cast<int64_t>(std::max(bytes, std::min(2 * last, kMostWorkspace)));
    all.push_back(at::empty({count}, at::TensorOptions().dtype(at::kByte).device(at::kCUDA)));
  }
  return {all.back().data_ptr(), static_cast<size_t>(all.back().numel())};
}

cublasLtEpilogue_t epilogue_of(Epilogue e) {
  switch (e) {
    case Epilogue::bias: return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu_bias: return CUBLASLT_EPILOGUE_GELU_BIAS;
    case Epilogue::gelu_aux_bias: return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    default: return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// The largest power of two, up to 16 bytes, that an address or a row is a multiple of.
uint32_t alignment(const void* data, int64_t stride_bytes) {
  const uint64_t bits = reinterpret_cast<uint64_t>(data) | static_cast<uint64_t>(stride_bytes) | 16;
  return static_cast<uint32_t>(bits & -bits);
}

// Without an inner dimension the product is zeros, for which cuBLASLt has no algorithm. In place, for work that is
// given to a second stream may allocate nothing.
void gemm_of_nothing(const Mat& out, at::ScalarType type, const Extra& extra) {
  const auto options = at::TensorOptions().dtype(type).device(at::kCUDA, c10::cuda::current_device());
  const auto view = [&](const void* data, int64_t rows, int64_t stride) {
    return at::from_blob(const_cast<void*>(data), {rows, out.columns}, {stride, 1}, options);
  };
  at::Tensor to = view(out.data, out.rows, out.stride);
  if (extra.add) to.copy_(view(extra.add->data, out.rows, extra.add->stride));
  else to.zero_();
  if (extra.bias) to.add_(view(extra.bias, 1, out.columns));
  if (extra.aux) view(extra.aux, out.rows, extra.aux_stride).copy_(to);
  if (extra.epilogue == Epilogue::gelu_bias || extra.epilogue == Epilogue::gelu_aux_bias) at::gelu_(to, "tanh");
}

}  // namespace

Mat mat(const at::Tensor& t) {
  // Of a tensor without elements no stride says anything: those of an expanded gradient are 0.
  if (t.dim() >= 1 && t.numel() == 0)
    return {t.data_ptr(), c10::multiply_integers(t.sizes().slice(0, t.dim() - 1)), t.size(-1), t.size(-1)};
  TORCH_CHECK(t.dim() >= 1 && (t.size(-1) <= 1 || t.stride(-1) == 1), "CUDA: got a tensor of shape ", t.sizes(),
              " and strides ", t.strides(), ", expected a contiguous last dimension.");
  const int64_t columns = t.size(-1), rows = t.numel() / columns;
  int64_t stride = columns;
  if (t.dim() >= 2) {
    stride = t.stride(-2);
    int64_t expected = stride * t.size(-2);
    for (int64_t d = t.dim() - 3; d >= 0; d--) {
      TORCH_CHECK(t.size(d) == 1 || t.stride(d) == expected, "CUDA: got a tensor of shape ", t.sizes(), " and strides ",
                  t.strides(), ", expected rows at one distance. Call contiguous() first.");
      expected *= t.size(d);
    }
  }
  return {t.data_ptr(), rows, columns, stride};
}

void gemm(const Mat& a, bool transpose_a, const Mat& b, bool transpose_b, const Mat& out, at::ScalarType in,
          at::ScalarType out_type, const Extra& extra) {
  const int64_t m = out.rows, n = out.columns, k = transpose_a ? a.rows : a.columns;
  TORCH_CHECK((transpose_a ? a.columns : a.rows) == m && (transpose_b ? b.rows : b.columns) == n &&
                  (transpose_b ? b.columns : b.rows) == k,
              "CUDA: got a product of [", a.rows, ", ", a.columns, "]", transpose_a ? "^T" : "", " and [", b.rows, ", ",
              b.columns, "]", transpose_b ? "^T" : "", " into [", m, ", ", n, "].");
  if (m == 0 || n == 0) return;
  if (k == 0) return gemm_of_nothing(out, out_type, extra);
  // cuBLAS is column-major: its first matrix is our second, and all are seen transposed.
  Description d;
  const bool tf32 = in == at::kFloat && at::globalContext().allowTF32CuBLAS();
  check(cublasLtMatmulDescCreate(&d.value, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "a description");
  set(d.value, CUBLASLT_MATMUL_DESC_TRANSA, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(d.value, CUBLASLT_MATMUL_DESC_TRANSB, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(d.value, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(extra.epilogue));
  if (extra.bias) set(d.value, CUBLASLT_MATMUL_DESC_BIAS_POINTER, extra.bias);
  if (extra.aux) {
    set(d.value, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, extra.aux);
    set(d.value, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, extra.aux_stride);
  }
  const int64_t in_size = c10::elementSize(in), out_size = c10::elementSize(out_type);
  const Mat& c = extra.add ? *extra.add : out;
  Layout la, lb, lc, ld;
  const auto layout = [](Layout& l, const Mat& x, at::ScalarType type) {
    check(cublasLtMatrixLayoutCreate(&l.value, type_of(type), x.columns, x.rows, x.stride), "a layout");
  };
  layout(la, b, in), layout(lb, a, in), layout(lc, c, out_type), layout(ld, out, out_type);

  const std::array<uint32_t, 4> aligned = {alignment(b.data, b.stride * in_size), alignment(a.data, a.stride * in_size),
                                           alignment(c.data, c.stride * out_size),
                                           alignment(out.data, out.stride * out_size)};
  // Asking which algorithm is best takes longer than a small product; the answer is kept.
  const std::array<int64_t, 20> key = {static_cast<int64_t>(c10::cuda::current_device()),
                                       static_cast<int64_t>(in),
                                       static_cast<int64_t>(out_type),
                                       transpose_a,
                                       transpose_b,
                                       m,
                                       n,
                                       k,
                                       a.stride,
                                       b.stride,
                                       c.stride,
                                       out.stride,
                                       static_cast<int64_t>(extra.epilogue),
                                       extra.add != nullptr,
                                       tf32,
                                       aligned[0],
                                       aligned[1],
                                       aligned[2],
                                       aligned[3],
                                       extra.aux_stride};
  static std::mutex mutex;
  struct Choice {
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
  };
  static std::map<std::array<int64_t, 20>, Choice> choices;
  Choice choice{};
  const cublasLtHandle_t lt = handle();
  {
    const std::lock_guard<std::mutex> lock(mutex);
    auto known = choices.find(key);
    if (known == choices.end()) {
      Preference p;
      check(cublasLtMatmulPreferenceCreate(&p.value), "a preference");
      const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
        check(cublasLtMatmulPreferenceSetAttribute(p.value, attribute, &value, sizeof value), "a preference");
      };
      prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned[0]);
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned[1]);
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, aligned[2]);
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, aligned[3]);
      cublasLtMatmulHeuristicResult_t result{};
      int count = 0;
      const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(lt, d.value, la.value, lb.value, lc.value, ld.value,
                                                                   p.value, 1, &result, &count);
      TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS && count > 0, "CUDA: cuBLASLt has no algorithm for a product of [", m,
                  ", ", k, "] and [", k, ", ", n, "] of ", in, " into ", out_type, " with row strides ", a.stride, ", ",
                  b.stride, ", ", out.stride, " and epilogue ", static_cast<int>(extra.epilogue), ".");
      known = choices.emplace(key, Choice{result.algo, result.workspaceSize}).first;
    }
    choice = known->second;
  }
  const Workspace scratch = workspace(choice.workspace);
  const float one = 1.0f, beta = extra.add ? 1.0f : 0.0f;
  check(cublasLtMatmul(lt, d.value, &one, b.data, la.value, a.data, lb.value, &beta, c.data, lc.value,
                       const_cast<void*>(out.data), ld.value, &choice.algorithm, scratch.data, scratch.bytes,
                       c10::cuda::getCurrentCUDAStream().stream()),
        "a product");
}

}  // namespace mamba_prune::cuda
