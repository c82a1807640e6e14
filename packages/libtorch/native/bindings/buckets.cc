// Gradients averaged over workers while backward still runs.
//
// As PyTorch's DistributedDataParallel does (Li et al. 2020, arXiv 2006.15704, section 3.2): parameters
// are assigned to buckets in the reverse of their order, which is about the order in which backward
// reaches them; a hook behind each gradient's accumulation counts it; a bucket whose gradients are all
// there is filled and summed over the workers at once. Buckets begin in the same order on every worker,
// because collectives are matched by order. Gradients are copied by bucket, in and out: a model has
// hundreds of small ones, and a GPU takes microseconds for each kernel.
#include "bindings/distributed.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <exception>
#include <optional>
#include <utility>

namespace mamba_prune {

namespace {

// A shared_ptr, since libtorch 2.14 an intrusive_ptr.
using NodePtr = decltype(torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()));
using torch::autograd::variable_list;

class Buckets : public std::enable_shared_from_this<Buckets> {
 public:
  Buckets(std::shared_ptr<Group> group, std::vector<at::Tensor> parameters, int64_t bytes)
      : group_(std::move(group)), parameters_(std::move(parameters)), places_(parameters_.size()) {
    int64_t room = 0;
    for (size_t i = parameters_.size(); i-- > 0;) {
      const at::Tensor& tensor = parameters_[i];
      TORCH_CHECK(tensor.is_leaf() && tensor.requires_grad(), "got ", describe(tensor),
                  ", expected parameters: leaves that require grad");
      const int64_t size = static_cast<int64_t>(tensor.nbytes());
      const bool fits = !buckets_.empty() && size <= room && buckets_.back().options.device() == tensor.device() &&
                        buckets_.back().options.dtype() == tensor.dtype();
      if (!fits) {
        buckets_.push_back({tensor.options().requires_grad(false)});
        room = bytes;
      }
      room -= size;
      Bucket& bucket = buckets_.back();
      places_[i] = {buckets_.size() - 1, bucket.length};
      bucket.members.push_back(i);
      bucket.length += tensor.numel();
    }
    for (Bucket& bucket : buckets_) bucket.flat = at::empty({bucket.length}, bucket.options);
  }

  ~Buckets() { detach(); }

  size_t count() const { return buckets_.size(); }

  // The next backward's gradients count; each is multiplied by `weight` before the sum. No graph of a backward
  // before may be alive: it would hold the nodes of the stream that was current then.
  void begin(double weight) {
    attach();
    std::lock_guard<std::mutex> lock(mutex_);
    weight_ = weight;
    next_ = 0;
    active_ = true;
    failure_ = nullptr;
    early_ = 0;
    seen_.assign(parameters_.size(), false);
    for (Bucket& bucket : buckets_) {
      bucket.ready = 0;
      bucket.work.reset();
    }
  }

  // Waits until all is summed and copies it back; a parameter without a gradient keeps none, and
  // counts as zero for workers where it has one. Returns how many buckets had begun during backward.
  // Throws what went wrong during backward, too.
  size_t finish() {
    c10::AutoGradMode no_grad(false);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      TORCH_CHECK(active_, "got no step to finish, expected begin before backward");
      active_ = false;
      if (const auto failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
      early_ = next_;
      for (; next_ < buckets_.size(); ++next_) start(buckets_[next_]);
    }
    for (Bucket& bucket : buckets_) {
      group_->wait(bucket.work);
      bucket.work.reset();
      take_back(bucket);
    }
    return early_;
  }

 private:
  // The hooks must not keep this object alive.
  void attach() {
    if (parameters_.empty()) return;
    const c10::Device device = parameters_.front().device();
    const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
    if (stream_ == stream) return;
    // A node works on the stream that was current when it was made, for as long as it lives. Made anew on the
    // one that records a graph, it can be recorded; an old one would bring a stream into it that cannot.
    detach();
    stream_ = stream;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      // The node that adds to .grad; its tensor holds it weakly, so we keep it.
      NodePtr node = torch::autograd::impl::grad_accumulator(parameters_[i]);
      auto hook = [weak = weak_from_this(), i](const variable_list& outputs, const variable_list&) {
        if (auto self = weak.lock()) self->arrived(i);
        return outputs;
      };
      const auto key = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(std::move(hook)));
      hooks_.emplace_back(std::move(node), key);
    }
  }

  void detach() {
    for (auto& [node, key] : hooks_) node->del_post_hook(key);
    hooks_.clear();
  }

  struct Bucket {
    at::TensorOptions options;
    std::vector<size_t> members = {};
    int64_t length = 0;
    at::Tensor flat = {};
    size_t ready = 0;
    WorkPtr work = {};
  };

  struct Place {
    size_t bucket = 0;
    int64_t offset = 0;
  };

  at::Tensor view(size_t i) const {
    const at::Tensor& like = parameters_[i];
    const Place& place = places_[i];
    return buckets_[place.bucket].flat.narrow(0, place.offset, like.numel()).view(like.sizes());
  }

  // Called by autograd, on a GPU in a thread of its own whose current stream is that of the forward pass.
  void arrived(size_t i) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!active_ || seen_[i]) return;
    const at::Tensor& gradient = parameters_[i].grad();
    if (!gradient.defined()) return;
    c10::AutoGradMode no_grad(false);
    seen_[i] = true;
    ++buckets_[places_[i].bucket].ready;
    if (failure_) return;
    try {
      while (next_ < buckets_.size() && buckets_[next_].ready == buckets_[next_].members.size())
        start(buckets_[next_++]);
    } catch (...) {
      // Kept for `finish`: backward would report a failed operator, and not which worker is gone.
      failure_ = std::current_exception();
    }
  }

  void start(Bucket& bucket) {
    std::vector<at::Tensor> parts;
    parts.reserve(bucket.members.size());
    for (size_t i : bucket.members) {
      parts.push_back(seen_[i] ? parameters_[i].grad().reshape({-1})
                               : at::zeros({parameters_[i].numel()}, bucket.options));
    }
    at::cat_out(bucket.flat, parts);
    bucket.flat.mul_(weight_);
    bucket.work = group_->all_reduce(bucket.flat);
  }

  // _foreach_copy_ is not in libtorch 1.13.
  void take_back(const Bucket& bucket) {
    std::vector<at::Tensor> gradients, sums;
    for (size_t i : bucket.members) {
      if (!seen_[i]) continue;
      gradients.push_back(parameters_[i].grad());
      sums.push_back(view(i));
    }
    if (gradients.empty()) return;
    at::_foreach_zero_(gradients);
    at::_foreach_add_(gradients, sums);
  }

  std::shared_ptr<Group> group_;
  std::vector<at::Tensor> parameters_;
  std::vector<Place> places_;
  std::vector<Bucket> buckets_;
  std::vector<std::pair<NodePtr, uintptr_t>> hooks_;
  std::optional<c10::Stream> stream_;  // that the hooked nodes work on

  std::mutex mutex_;
  double weight_ = 1;
  size_t next_ = 0;  // the first bucket that has not begun
  size_t early_ = 0;
  bool active_ = false;
  std::exception_ptr failure_;  // of a collective that backward began
  std::vector<bool> seen_;
};

HandleTable<std::shared_ptr<Buckets>>& table() {
  static thread_local auto* made = new HandleTable<std::shared_ptr<Buckets>>(7ull << 49);
  return *made;
}

std::shared_ptr<Buckets> buckets_of(Napi::Env env, Napi::Value value, const char* what) {
  auto* found = value.IsNumber() ? table().find(value.As<Napi::Number>().DoubleValue()) : nullptr;
  if (found) return *found;
  throw Napi::TypeError::New(
      env, std::string(what) + ": got " + describe(value) + ", expected gradient buckets that are open");
}

double positive(Napi::Env env, Napi::Value value, const char* what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (number > 0 && number <= 9e15) return number;
  throw Napi::RangeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a number above 0");
}

// bucketsOpen(group, parameters, bytes) -> buckets
Napi::Value buckets_open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "bucketsOpen", [&]() -> Napi::Value {
    auto group = group_of(env, info[0], "bucketsOpen");
    if (!info[1].IsArray()) throw Napi::TypeError::New(env, "bucketsOpen: expected an array of tensors");
    Napi::Array array = info[1].As<Napi::Array>();
    std::vector<at::Tensor> parameters;
    for (uint32_t i = 0; i < array.Length(); ++i) parameters.push_back(tensor_of(env, array.Get(i), "bucketsOpen"));
    const double bytes = positive(env, info[2], "bucketsOpen: bytes");
    auto made = std::make_shared<Buckets>(std::move(group), std::move(parameters), static_cast<int64_t>(bytes));
    return Napi::Number::New(env, table().insert(std::move(made)));
  });
}

Napi::Value buckets_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(buckets_of(info.Env(), info[0], "bucketsCount")->count()));
}

// bucketsBegin(buckets, weight)
void buckets_begin(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "bucketsBegin",
          [&] { buckets_of(env, info[0], "bucketsBegin")->begin(positive(env, info[1], "bucketsBegin")); });
}

// bucketsFinish(buckets) -> how many began during backward
Napi::Value buckets_finish(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_group(env, "bucketsFinish", [&] {
    return Napi::Number::New(env, static_cast<double>(buckets_of(env, info[0], "bucketsFinish")->finish()));
  });
}

void buckets_close(const Napi::CallbackInfo& info) {
  if (info[0].IsNumber()) table().remove(info[0].As<Napi::Number>().DoubleValue());
}

}  // namespace

void init_buckets(Napi::Env env, Napi::Object exports) {
  exports["bucketsOpen"] = Napi::Function::New(env, buckets_open, "bucketsOpen");
  exports["bucketsCount"] = Napi::Function::New(env, buckets_count, "bucketsCount");
  exports["bucketsBegin"] = Napi::Function::New(env, buckets_begin, "bucketsBegin");
  exports["bucketsFinish"] = Napi::Function::New(env, buckets_finish, "bucketsFinish");
  exports["bucketsClose"] = Napi::Function::New(env, buckets_close, "bucketsClose");
}

}  // namespace mamba_prune
