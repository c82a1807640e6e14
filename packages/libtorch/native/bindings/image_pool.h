// Threads of our own for images: libuv's are four whatever the machine has, shared with files and with sharp, and their
// number cannot be changed once the first of them runs.
#pragma once

#include "bindings/addon.h"

#include <memory>

namespace mamba_prune {

// Work without JavaScript, and then its result.
class ImageTask {
 public:
  virtual ~ImageTask() = default;
  // On a thread of the pool. Throws nothing but what the standard library throws.
  virtual void run() = 0;
  // On the thread of JavaScript.
  virtual Napi::Value result(Napi::Env env) const = 0;
};

// One for each environment (a worker thread of Node.js has its own).
class ImageRoom;
ImageRoom* open_image_room(Napi::Env env);

// Behind all that wait, or before them.
enum class Turn { last, first };

// Hands a task to the pool. `kept` stays alive until it is done. The promise is rejected with what `run` threw.
Napi::Promise queue_image_task(Napi::Env env, ImageRoom* room, std::unique_ptr<ImageTask> task,
                               std::vector<Napi::Object> kept, Turn turn = Turn::last);

// How many threads there are, or are to be, for the whole process.
int image_threads();
void set_image_threads(int count);

}  // namespace mamba_prune
