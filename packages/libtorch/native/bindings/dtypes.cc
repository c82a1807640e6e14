#include "addon.h"

#include <c10/util/Exception.h>

#include <array>
#include <sstream>
#include <utility>

namespace mamba_prune {

namespace {

constexpr std::array<std::pair<at::ScalarType, const char*>, 10> kNames{{
    {at::kFloat, "float32"},
    {at::kDouble, "float64"},
    {at::kHalf, "float16"},
    {at::kBFloat16, "bfloat16"},
    {at::kLong, "int64"},
    {at::kInt, "int32"},
    {at::kShort, "int16"},
    {at::kChar, "int8"},
    {at::kByte, "uint8"},
    {at::kBool, "bool"},
}};

}  // namespace

const char* dtype_name(at::ScalarType type) {
  for (const auto& [known, name] : kNames) {
    if (known == type) return name;
  }
  return c10::toString(type);  // complex and quantised types, which TypeScript has no arrays for
}

at::ScalarType dtype_from_name(const std::string& name) {
  std::string list;
  for (const auto& [type, known] : kNames) {
    if (name == known) return type;
    list += (list.empty() ? "" : ", ") + std::string(known);
  }
  TORCH_CHECK(false, "got dtype '", name, "', expected one of ", list);
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::ostringstream text;
  text << dtype_name(tensor.scalar_type()) << '[';
  for (int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << "] " << tensor.device().str();
  return text.str();
}

}  // namespace mamba_prune
