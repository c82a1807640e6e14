// Signals stay away from the threads that compute.
//
// oneDNN generates machine code at run time, and its matrix products point the stack pointer at a buffer on
// the heap while they run (uxlfoundation/oneDNN issue 4845: AVX2 and AVX-512, up to 3.11.1, mended by 4855; Debian's
// libtorch and pip's have such versions). A signal that arrives then makes the kernel write its frame there, over
// the heap: Ctrl-C, or a resized terminal, ends the process or changes numbers without a word. It can happen in any
// operator that may multiply by oneDNN, so the cure is not at the operators: a thread that loads the addon blocks its
// signals for good, every thread that it starts inherits that (OpenMP's and autograd's among them), and one thread that
// never computes takes the signals that are sent to the process. What handles them stays as it is: libuv's handlers may
// run on any thread, and a default action is the whole process's. A child process does not inherit it: libuv clears the
// mask before it runs a program.
#include "addon.h"

#include <ATen/Parallel.h>

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <mutex>

namespace mamba_prune {

namespace {

// Every signal that comes from outside. Not those that a thread causes itself, which cannot wait.
sigset_t outside() {
  sigset_t set;
  sigfillset(&set);
  // An instruction of the thread; for a blocked one the kernel ends the process without asking a handler.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) sigdelset(&set, fault);
  // A system call of the thread on a terminal that is another job's. Blocked, it would read and write there.
  for (const int job : {SIGTTIN, SIGTTOU}) sigdelset(&set, job);
  return set;
}

void block(bool profiled) {
  sigset_t set = outside();
  if (profiled) sigdelset(&set, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// V8's profiler sends SIGPROF to the thread that runs JavaScript, and to no other: blocked there, every profile would
// be empty. Its handler asks for a stack of its own (SA_ONSTACK), which makes it harmless.
class HandlerStack {
 public:
  HandlerStack() {
    stack_t current{};
    if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) {
      is_there_ = true;
      return;
    }
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = kBytes;
    is_there_ = sigaltstack(&stack, nullptr) == 0;
    if (is_there_) memory_ = memory;
    else munmap(memory, kBytes);
  }
  ~HandlerStack() {
    if (memory_ == nullptr) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    munmap(memory_, kBytes);
  }
  HandlerStack(const HandlerStack&) = delete;
  HandlerStack& operator=(const HandlerStack&) = delete;

  bool is_there() const { return is_there_; }

 private:
  // The frame holds the registers of AVX-512 or AMX (11 KB), and the handler walks a JavaScript stack.
  static constexpr size_t kBytes = 256 << 10;
  void* memory_ = nullptr;  // if it is ours to free
  bool is_there_ = false;
};

void* take_signals(void*) {
  pthread_setname_np(pthread_self(), "signals");
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  for (;;) pause();
}

// Without it a signal would stay pending where Node.js has no other thread, or none that takes it.
void start_taker() {
  pthread_t thread;
  const int failed = pthread_create(&thread, nullptr, take_signals, nullptr);
  TORCH_CHECK(failed == 0, "no thread could be started to take signals: ", std::strerror(failed));
  pthread_detach(thread);
}

void shield_this_thread() {
  static std::once_flag started;
  std::call_once(started, start_taker);
  static thread_local HandlerStack stack;
  block(stack.is_there());
}

}  // namespace

void shield_team() {
#pragma omp parallel num_threads(at::get_num_threads())
  if (omp_get_thread_num() > 0) block(false);
}

void init_signals() {
  shield_this_thread();
  shield_team();
}

}  // namespace mamba_prune
