// The collectives of a group: opened, waited for without hanging where a worker is gone, and ended.
#include "bindings/group.h"

#include "addon.h"
#include "bindings/store_socket.h"

#include <ATen/Functions.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#ifdef MAMBA_PRUNE_NCCL
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#endif

#include <cstdlib>
#include <optional>

namespace mamba_prune {

namespace {

using std::chrono::milliseconds;

// The address that the other workers reach this one at. GLOO_SOCKET_IFNAME names a network interface,
// as it does for PyTorch; workers of one machine need none; otherwise it is the one of the way to rank 0. The name
// of a host is often one of the loopback, where no other machine connects: it decides only where that way is the
// loopback too. Throws StoreLost.
auto gloo_device(const MonitorOptions& at) {
  using Gloo = c10d::ProcessGroupGloo;
  const char* names = std::getenv("GLOO_SOCKET_IFNAME");
  if (names != nullptr && *names != '\0') {
    const std::string name(names);
    return Gloo::createDeviceForInterface(name.substr(0, name.find(',')));
  }
  if (is_loopback(at.host)) return Gloo::createDeviceForHostname("127.0.0.1");
  const std::string own = Socket::connect(at.host, at.port, at.silence).own_address();
  return is_loopback(own) ? Gloo::createDefaultDevice() : Gloo::createDeviceForHostname(own);
}

constexpr const char* kRank0Gone = "rank 0 is gone: its process was killed, or its machine cannot be reached";

c10::intrusive_ptr<StoreClient> connect(const MonitorOptions& at, milliseconds timeout) {
  return c10::make_intrusive<StoreClient>(at.host, at.port, timeout);
}

c10::intrusive_ptr<c10d::Store> with_prefix(const MonitorOptions& at, const char* name,
                                            c10::intrusive_ptr<StoreClient> store) {
  return c10::make_intrusive<c10d::PrefixStore>(at.prefix + name, std::move(store));
}

}  // namespace

void Group::open(const MonitorOptions& at, const c10::Device& device) {
  try {
    monitor = std::make_unique<Monitor>(at);
  } catch (const StoreLost&) {
    throw WorkerLost(0, kRank0Gone);
  }
  try {
    open_gloo(at);
    if (device.is_cuda()) open_nccl(at, device);
  } catch (const WorkerLost&) {
    close(true);
    throw;
  } catch (const c10::Error& error) {
    monitor->fail(message_of(error));
    close(true);
    throw;
  } catch (const std::exception& error) {
    monitor->fail(error.what());
    close(true);
    throw;
  }
}

void Group::open_gloo(const MonitorOptions& at) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->threads = 2;
  try {
    options->devices.push_back(gloo_device(at));
  } catch (const StoreLost& error) {
    fail(error.what());
  }
  // In a thread of its own: Gloo waits for a worker that died meanwhile until its timeout, and nothing can end that.
  // Then the thread is left behind, and ends by itself.
  using Made = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
  std::packaged_task<Made()> make([at, options, timeout = timeout] {
    auto store = with_prefix(at, "gloo", connect(at, timeout));
    return c10::make_intrusive<c10d::ProcessGroupGloo>(store, at.rank, at.workers, options);
  });
  std::future<Made> made = make.get_future();
  std::thread(std::move(make)).detach();
  while (made.wait_for(milliseconds(10)) != std::future_status::ready) check_verdict();
  try {
    gloo = made.get();
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void Group::open_nccl(const MonitorOptions& at, c10::Device device) {
#ifdef MAMBA_PRUNE_NCCL
  if (!device.has_index()) device.set_index(c10::cuda::current_device());
  gpu = device;
  // What asks for the current device, such as the seeding of random generators, makes a context on it: all
  // workers of a machine would have one on the first GPU.
  c10::cuda::set_device(device.index());
  // Our waits find errors and lost workers; libtorch's own guards would end the process instead. The first is
  // also what PyTorch asks for where collectives are captured in graphs.
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
  setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 0);
  setenv("TORCH_NCCL_RETHROW_CUDA_ERRORS", "0", 0);
  setenv("TORCH_NCCL_DUMP_ON_TIMEOUT", "0", 0);
  // Registering the buffers of a captured collective is an exchange between the workers during the capture:
  // one whose capture fails would leave the others in it.
  setenv("NCCL_GRAPH_REGISTER", "0", 0);
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout + std::chrono::minutes(1);
  try {
    nccl_store = connect(at, timeout);
    nccl =
        c10::make_intrusive<c10d::ProcessGroupNCCL>(with_prefix(at, "nccl", nccl_store), at.rank, at.workers, options);
  } catch (const StoreLost& error) {
    fail(error.what());
  }
#else
  TORCH_CHECK(false, "got device ", device.str(), ", but the addon was built without NCCL, expected cpu. ",
              "Install the headers of CUDA and NCCL (pip brings nvidia-nccl with torch), and build again");
#endif
}

Collectives& Group::collectives_for(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_contiguous(), "got ", describe(tensor),
              " with gaps or transposed, expected a contiguous tensor");
  if (!tensor.is_cuda()) return *gloo;
#ifdef MAMBA_PRUNE_NCCL
  if (nccl) return *nccl;
#endif
  TORCH_CHECK(false, "got ", describe(tensor),
              ", but the group was opened without NCCL. Open it with a device of CUDA");
}

// The backends write through raw pointers, which no version counts: what is derived from weights (weights_version)
// would go on with the old values.
static void will_be_written(const at::Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

template <typename Start> WorkPtr Group::started(Start&& start) {
  check_verdict();
#ifdef MAMBA_PRUNE_NCCL
  try {
    return start();
  } catch (const std::exception& error) {
    if (nccl_store && nccl_store->is_lost()) fail(error.what());
    throw;
  }
#else
  return start();
#endif
}

WorkPtr Group::all_reduce(at::Tensor tensor) {
  return started([&] {
    will_be_written(tensor);
    std::vector<at::Tensor> tensors{tensor};
    return collectives_for(tensor).allreduce(tensors);
  });
}

WorkPtr Group::broadcast(at::Tensor tensor, int root) {
  return started([&] {
    will_be_written(tensor);
    std::vector<at::Tensor> tensors{tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return collectives_for(tensor).broadcast(tensors, options);
  });
}

void Group::check_verdict() {
  const auto verdict = monitor->verdict();
  if (!verdict) return;
  give_up();
  throw WorkerLost(verdict->rank, verdict->reason);
}

namespace {

using Clock = std::chrono::steady_clock;

#ifdef MAMBA_PRUNE_NCCL
// Without a graph left that holds its collectives NCCL ends within a fraction of a second.
constexpr milliseconds kNcclEnd{10'000};
#endif

// For a moment that grows with the time that was waited so far: short collectives are not made longer.
void idle(Clock::duration waited) {
  if (waited < std::chrono::microseconds(100)) std::this_thread::yield();
  else std::this_thread::sleep_for(std::chrono::microseconds(50));
}

}  // namespace

bool Group::is_recording() const {
#ifdef MAMBA_PRUNE_NCCL
  if (nccl) {
    const c10::cuda::CUDAGuard on(gpu);
    return c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
  }
#endif
  return false;
}

void Group::wait(const WorkPtr& work) {
  if (is_recording()) {
    // The event of the work is the graph's: asking for it would end the capture.
    work->wait();
    return;
  }
  const auto started = Clock::now();
  auto looked = started;
  // Polled rather than waited for: Gloo's wait cannot be ended from outside, and NCCL's does not even
  // begin on the CPU while a worker that is gone keeps the GPU waiting.
  while (!work->isCompleted()) {
    const auto now = Clock::now();
    if (now - started > timeout) fail_late();
    if (now - looked > milliseconds(50)) {
      check_verdict();
      looked = now;
    }
    idle(now - started);
  }
  try {
    // NCCL keeps its errors to itself.
    if (const auto error = work->exception()) std::rethrow_exception(error);
    // On a GPU the current stream waits here for the result.
    work->wait();
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void Group::settle(const c10::Device& device) {
  std::optional<c10::Event> event;
  if (!device.is_cpu()) {
    event.emplace(device.type());
    event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  const auto started = Clock::now();
  // In rounds that all workers go through together, through Gloo: a worker that dies while the GPUs compute breaks
  // a connection at once, and replayed collectives tell the CPU nothing.
  for (;;) {
    bool done = !event;
    for (const auto round = Clock::now(); !done && Clock::now() - round < milliseconds(20);) {
      done = event->query();
      if (!done) idle(Clock::now() - round);
    }
    check_verdict();
    at::Tensor busy = at::full({1}, done ? 0.0 : 1.0, at::kDouble);
    wait(all_reduce(busy));
    if (busy.item<double>() == 0) return;
    if (Clock::now() - started > timeout) fail_late();
  }
}

void Group::fail_late() {
  give_up();
  TORCH_CHECK(false, "not all workers took part within ", timeout.count() / 1000,
              " s. Does one of them hang, or do other work than the rest?");
}

void Group::fail(const std::string& what) {
  failed_ = true;
  for (const auto until = Clock::now() + monitor->patience(); Clock::now() < until;) {
    check_verdict();
    std::this_thread::sleep_for(milliseconds(20));
  }
  give_up();
  throw std::runtime_error("the connection to another worker broke: " + what.substr(0, what.find('\n')));
}

void Group::give_up() {
  failed_ = true;
#ifdef MAMBA_PRUNE_NCCL
  end_nccl(true);
#endif
}

#ifdef MAMBA_PRUNE_NCCL
void Group::end_nccl(bool abort) {
  if (!nccl || nccl_end_.valid()) return;
  std::promise<void> ended;
  nccl_end_ = ended.get_future();
  // Kernels end as soon as an abort begins. But NCCL returns only when the last graph with its collectives is gone,
  // and who has the graph is told of the error by this thread.
  std::thread([group = nccl, abort, ended = std::move(ended)]() mutable {
    try {
      if (abort) group->abort();
      else group->shutdown();
    } catch (...) {
      // The group is not used any more either way.
    }
    // Before anyone is told: what is destroyed last is destroyed by the thread that waits.
    group.reset();
    ended.set_value();
  }).detach();
}
#endif

void Group::close(bool failed) {
  failed_ = failed_ || failed || monitor->verdict().has_value();
#ifdef MAMBA_PRUNE_NCCL
  if (failed_) end_nccl(true);
#endif
  monitor->close();
#ifdef MAMBA_PRUNE_NCCL
  if (nccl) {
    end_nccl(failed_);
    const bool ended = nccl_end_.wait_for(kNcclEnd) == std::future_status::ready;
    // Never destroyed where it did not end, or not well: the destructor would wait.
    if (failed_ || !ended) new c10::intrusive_ptr<c10d::ProcessGroupNCCL>(nccl);
    nccl.reset();
  }
#endif
  // As is Gloo's: it waits for collectives that will not end.
  if (failed_ && gloo) new c10::intrusive_ptr<c10d::ProcessGroupGloo>(std::move(gloo));
  gloo.reset();
}

}  // namespace mamba_prune
