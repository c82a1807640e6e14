#include "bindings/image_pool.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>
#include <signal.h>

namespace mamba_prune {

namespace {

// What waits for its turn, runs, or waits for JavaScript to take its result.
struct Job {
  Job(Napi::Env env, ImageRoom* room, std::unique_ptr<ImageTask> task)
      : room(room), task(std::move(task)), done(Napi::Promise::Deferred::New(env)) {}

  ImageRoom* room;
  std::unique_ptr<ImageTask> task;
  std::string error;
  Napi::Promise::Deferred done;
  std::vector<Napi::ObjectReference> kept;
};

void settle(napi_env raw, napi_value, void*, void* data);

}  // namespace

class ImageRoom {
 public:
  explicit ImageRoom(Napi::Env env) : env_(env) {
    const Napi::String name = Napi::String::New(env, "mamba-prune images");
    const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                               nullptr, settle, &answers_);
    if (status != napi_ok) throw Napi::Error::New(env, "images: no queue of answers could be made");
    napi_unref_threadsafe_function(env, answers_);
  }

  // The process stays alive while something is under way.
  void begin() {
    if (waiting_++ == 0) napi_ref_threadsafe_function(env_, answers_);
  }
  void end() {
    if (--waiting_ == 0) napi_unref_threadsafe_function(env_, answers_);
  }
  void answer(Job* job) { napi_call_threadsafe_function(answers_, job, napi_tsfn_nonblocking); }

 private:
  napi_env env_;
  napi_threadsafe_function answers_ = nullptr;
  int64_t waiting_ = 0;  // of the thread of JavaScript alone
};

namespace {

class Pool {
 public:
  void add(Job* job, Turn turn) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      start();
      if (turn == Turn::first) queue_.push_front(job);
      else queue_.push_back(job);
    }
    wake_.notify_one();
  }

  int count() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return wanted_;
  }

  void set_count(int count) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      // Asked for with every image: nobody is woken for nothing.
      if (count == wanted_) return;
      wanted_ = count;
      if (!queue_.empty()) start();
    }
    wake_.notify_all();
  }

  // Before an environment goes: nothing writes into its memory any more.
  void forget(ImageRoom* room) {
    std::unique_lock<std::mutex> lock(mutex_);
    std::deque<Job*> others;
    for (Job* job : queue_) {
      if (job->room == room) delete job;
      else others.push_back(job);
    }
    queue_.swap(others);
    idle_.wait(lock, [&] {
      for (ImageRoom* busy : running_) {
        if (busy == room) return false;
      }
      return true;
    });
  }

 private:
  void start() {
    // Detached: the process may end while they wait. A thread that cannot be started is done without, unless it is the
    // first.
    while (started_ < wanted_) {
      try {
        std::thread([this] { work(); }).detach();
        started_++;
      } catch (const std::system_error&) {
        if (started_ == 0) throw;
        return;
      }
    }
  }

  void work() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pthread_setname_np(pthread_self(), "images");
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return !queue_.empty() || started_ > wanted_; });
      if (started_ > wanted_) break;
      Job* job = queue_.front();
      queue_.pop_front();
      ImageRoom* room = job->room;
      running_.push_back(room);
      lock.unlock();
      try {
        job->task->run();
      } catch (const std::exception& error) {
        job->error = error.what();
      }
      room->answer(job);  // from here on the job belongs to JavaScript
      lock.lock();
      for (size_t i = 0; i < running_.size(); i++) {
        if (running_[i] != room) continue;
        running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
        break;
      }
      idle_.notify_all();
    }
    started_--;
  }

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Job*> queue_;
  std::vector<ImageRoom*> running_;
  int started_ = 0, wanted_ = 1;
};

// Never destroyed: its threads may still wait when the process ends.
Pool& pool() {
  static Pool* const only = new Pool;
  return *only;
}

// A result that cannot be made is an answer too.
void give(Napi::Env env, Job& job) {
  if (!job.error.empty()) return job.done.Reject(Napi::Error::New(env, job.error).Value());
  try {
    job.done.Resolve(job.task->result(env));
  } catch (const Napi::Error& error) {
    job.done.Reject(error.Value());
  }
}

void settle(napi_env raw, napi_value, void*, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (raw == nullptr) {
    // The environment is gone, and its references with it.
    for (Napi::ObjectReference& kept : job->kept) kept.SuppressDestruct();
    return;
  }
  const Napi::Env env(raw);
  job->room->end();
  try {
    const Napi::HandleScope scope(env);
    give(env, *job);
  } catch (const Napi::Error&) {
    // A worker that is being terminated runs no JavaScript any more, and nobody waits for the answer. Nothing above
    // this function would catch the error.
  }
}

}  // namespace

ImageRoom* open_image_room(Napi::Env env) {
  auto* room = new ImageRoom(env);
  // After the queue of answers, so that it is called before that one's own.
  napi_add_env_cleanup_hook(
      env,
      [](void* data) {
        // The room itself stays: answers that are still in the queue name it.
        pool().forget(static_cast<ImageRoom*>(data));
      },
      room);
  return room;
}

Napi::Promise queue_image_task(Napi::Env env, ImageRoom* room, std::unique_ptr<ImageTask> task,
                               std::vector<Napi::Object> kept, Turn turn) {
  auto job = std::make_unique<Job>(env, room, std::move(task));
  for (const Napi::Object& object : kept) job->kept.push_back(Napi::Persistent(object));
  const Napi::Promise promise = job->done.Promise();
  room->begin();
  try {
    pool().add(job.get(), turn);
  } catch (...) {
    room->end();
    throw;
  }
  job.release();
  return promise;
}

int image_threads() { return pool().count(); }
void set_image_threads(int count) { pool().set_count(count); }

}  // namespace mamba_prune
