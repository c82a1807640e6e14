// mamba_prune::pack_low: a matrix [columns, depth] in bfloat16 or 8-bit integers as the products read it; and what says
// whether this processor has them. The packed form begins with a header, so that no other tensor is taken for one.
#include "low_packed.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "op_util.h"
#include "packed.h"

namespace mamba_prune {
namespace low_packed_op {
namespace {

using at::Tensor;

struct Header {
  char magic[8];
  int32_t precision, version;
  int64_t columns, depth;
};
constexpr char kMagic[8] = {'m', 'p', '-', 'l', 'o', 'w', 'p', 0};
constexpr int32_t kVersion = 1;

// Where the parts of a packed matrix lie, in bytes.
struct Places {
  int64_t panels = 64, scale, sums, total;
  Places(LowPrecision precision, int64_t columns, int64_t depth) {
    const bool integers = precision == LowPrecision::int8;
    scale = panels + round_up(columns, kLowPanel) * depth_bytes(precision, depth);
    sums = scale + (integers ? round_up(columns * 4, 64) : 0);
    total = sums + (integers ? round_up(columns * 4, 64) : 0);
  }
};

const char* name_of(LowPrecision precision) { return precision == LowPrecision::bf16 ? "bf16" : "int8"; }

LowPrecision precision_of(const char* op, const std::string& name) {
  if (name == "bf16") return LowPrecision::bf16;
  TORCH_CHECK(name == "int8", op, ": got the precision '", name, "', expected bf16 or int8.");
  return LowPrecision::int8;
}

// Nearest, even on a tie; NaN stays NaN, and its first bits tell it from infinity.
uint16_t bf16_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// One column, its lanes kLowPanel apart.
void pack_bf16(const float* from, int64_t depth, uint8_t* lane) {
  for (int64_t k = 0; k < depth; k++) {
    const uint16_t value = bf16_of(from[k]);
    std::memcpy(lane + k / 2 * kLowPanel * kLaneBytes + k % 2 * 2, &value, sizeof value);
  }
}

// Integers from -127 to 127. A column that has no largest number gets a scale that is none, which its results show.
void pack_int8(const float* from, int64_t depth, uint8_t* lane, float& scale, int32_t& sum) {
  float most = 0;
  bool finite = true;
  for (int64_t k = 0; k < depth; k++) most = std::max(most, std::fabs(from[k])), finite &= std::isfinite(from[k]);
  const float inverse = finite && most > 1e-30f ? 127 / most : 0;
  scale = finite ? most / 127 : std::nanf("");
  sum = 0;
  for (int64_t k = 0; k < depth; k++) {
    const int32_t value = finite ? static_cast<int32_t>(std::nearbyint(from[k] * inverse)) : 0;
    sum += value;
    lane[k / 4 * kLowPanel * kLaneBytes + k % 4] = static_cast<uint8_t>(static_cast<int8_t>(value));
  }
}

Tensor pack(const Tensor& weight_, const std::string& name) {
  const LowPrecision precision = precision_of("pack_low", name);
  TORCH_CHECK(
      weight_.dim() == 2 && weight_.is_cpu() && weight_.scalar_type() == at::kFloat && weight_.layout() == at::kStrided,
      "pack_low: got ", weight_.dim(), " dimensions of ", weight_.scalar_type(), " on ", weight_.device(),
      ", expected float32 of shape [columns, depth] on the CPU.");
  refuse_gradient("pack_low", weight_);
  const Tensor weight = weight_.detach().contiguous();
  const int64_t columns = weight.size(0), depth = weight.size(1);
  TORCH_CHECK(columns > 0 && depth > 0 && depth <= kMostDepth, "pack_low: got a weight of shape ", weight.sizes(),
              ", expected at least one row and column, and at most ", kMostDepth, " columns.");
  const Places places(precision, columns, depth);
  const Tensor packed = at::zeros({places.total}, weight.options().dtype(at::kByte));
  uint8_t* to = static_cast<uint8_t*>(packed.data_ptr());
  Header header{{}, static_cast<int32_t>(precision), kVersion, columns, depth};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::memcpy(to, &header, sizeof header);
  const float* from = static_cast<const float*>(weight.data_ptr());
  const int64_t bytes = depth_bytes(precision, depth);
  at::parallel_for(0, columns, 16, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      uint8_t* lane = to + places.panels + c / kLowPanel * kLowPanel * bytes + c % kLowPanel * kLaneBytes;
      if (precision == LowPrecision::bf16) {
        pack_bf16(from + c * depth, depth, lane);
      } else {
        pack_int8(from + c * depth, depth, lane, reinterpret_cast<float*>(to + places.scale)[c],
                  reinterpret_cast<int32_t*>(to + places.sums)[c]);
      }
    }
  });
  return packed;
}

Header header_of(const char* op, const Tensor& packed) {
  Header header{};
  const bool regular = packed.is_cpu() && packed.scalar_type() == at::kByte && packed.layout() == at::kStrided &&
                       packed.dim() == 1 && packed.is_contiguous() && packed.numel() >= 64;
  if (regular) std::memcpy(&header, packed.data_ptr(), sizeof header);
  const bool ours =
      regular && std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 && header.version == kVersion &&
      (header.precision == 1 || header.precision == 2) && header.columns > 0 && header.depth > 0 &&
      header.depth <= kMostDepth && header.columns <= packed.numel() &&
      Places(static_cast<LowPrecision>(header.precision), header.columns, header.depth).total == packed.numel();
  TORCH_CHECK(ours, op, ": got a tensor of ", packed.scalar_type(), " of shape ", packed.sizes(),
              ", expected a matrix that pack_low made.");
  return header;
}

}  // namespace
}  // namespace low_packed_op

LowMatrix low_matrix(const char* op, const char* name, const at::Tensor& packed, const LowKernels& kernels,
                     int64_t columns, int64_t depth) {
  const low_packed_op::Header header = low_packed_op::header_of(op, packed);
  const auto precision = static_cast<LowPrecision>(header.precision);
  TORCH_CHECK(header.columns == columns && header.depth == depth && precision == kernels.precision, op, ": got ", name,
              " [", header.columns, ", ", header.depth, "] in ", low_packed_op::name_of(precision), ", expected [",
              columns, ", ", depth, "] in ", low_packed_op::name_of(kernels.precision), ".");
  const low_packed_op::Places places(precision, columns, depth);
  const auto* data = static_cast<const uint8_t*>(packed.data_ptr());
  return {data + places.panels, reinterpret_cast<const float*>(data + places.scale),
          reinterpret_cast<const int32_t*>(data + places.sums), columns, depth};
}

int64_t low_columns(const char* op, const at::Tensor& packed) { return low_packed_op::header_of(op, packed).columns; }

const LowKernels& kernels_for(const char* op, const at::Tensor& packed) {
  const auto precision = static_cast<LowPrecision>(low_packed_op::header_of(op, packed).precision);
  const LowKernels* kernels = low_kernels(precision);
  TORCH_CHECK(kernels, op, ": got weights in ", low_packed_op::name_of(precision), ", but ",
              low_kernels_missing(precision), ". Use float32.");
  return *kernels;
}

bool MatrixReader::packed(const char* name, const at::Tensor& t) {
  const bool packed = t.scalar_type() == at::kByte;
  TORCH_CHECK(!any_ || packed == any_packed_, op_, ": got ", name, packed ? " packed" : " in float32",
              " and others not, expected all matrices in one precision.");
  any_ = true, any_packed_ = packed;
  return packed;
}

bool MatrixReader::low(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, LowMatrix& low) {
  if (!packed(name, t)) return false;
  if (!kernels_) kernels_ = &kernels_for(op_, t);
  low = low_matrix(op_, name, t, *kernels_, columns, depth);
  return true;
}

bool MatrixReader::narrow(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, LowMatrix& low) {
  if (!packed(name, t)) return false;
  if (!narrow_) narrow_ = &kernels_for(op_, t);
  // What is in neither precision is refused as the others are.
  const bool fits = !kernels_ || narrow_->precision == kernels_->precision || narrow_->precision == LowPrecision::bf16;
  low = low_matrix(op_, name, t, fits ? *narrow_ : *kernels_, columns, depth);
  return true;
}

namespace low_packed_op {
namespace {

std::string missing(const std::string& name) {
  return low_kernels_missing(precision_of("low_precision_missing", name));
}

std::string kernels_name(const std::string& name) {
  const LowKernels* kernels = low_kernels(precision_of("low_precision_kernels", name));
  return kernels ? kernels->name : "";
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("pack_low(Tensor weight, str precision) -> Tensor");
  m.def("low_precision_missing(str precision) -> str", missing);
  m.def("low_precision_kernels(str precision) -> str", kernels_name);
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeImplicitAutograd, m) { m.impl("pack_low", pack); }

}  // namespace low_packed_op
}  // namespace mamba_prune
