// What JavaScript calls of process groups.
#include "bindings/distributed.h"

#include "bindings/arguments.h"

namespace mamba_prune {

namespace {

struct Tables {
  HandleTable<std::shared_ptr<Group>> groups{3ull << 49};
  HandleTable<WorkPtr> works{5ull << 49};
};

// One per JavaScript thread. Never destroyed: a group that was left open is the process's to end, and
// its threads must not find it gone.
Tables& tables() {
  static thread_local Tables* made = new Tables();
  return *made;
}

// groupOpen(host, port, prefix, rank, workers, timeoutMs, silenceMs, device) -> group
// All workers call it at about the same time, when the store is there.
Napi::Value group_open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_group(env, "groupOpen", [&]() -> Napi::Value {
    MonitorOptions at;
    at.host = string_argument(env, info[0], "groupOpen: host");
    at.port = static_cast<uint16_t>(whole(env, info[1], "groupOpen: port", 1, 65535));
    at.prefix = string_argument(env, info[2], "groupOpen: prefix");
    at.workers = whole(env, info[4], "groupOpen: workers", 1, 100'000);
    at.rank = whole(env, info[3], "groupOpen: rank", 0, at.workers - 1);
    at.silence = duration(env, info[6], "groupOpen: silence");
    auto group = std::make_shared<Group>();
    group->rank = at.rank;
    group->workers = at.workers;
    group->timeout = duration(env, info[5], "groupOpen: timeout");
    group->open(at, c10::Device(string_argument(env, info[7], "groupOpen: device")));
    return Napi::Number::New(env, tables().groups.insert(std::move(group)));
  });
}

// groupClose(group, reason | null): with a reason the others are told that this worker failed
void group_close(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "groupClose", [&] {
    if (!info[0].IsNumber()) return;
    const double handle = info[0].As<Napi::Number>().DoubleValue();
    std::shared_ptr<Group>* found = tables().groups.find(handle);
    if (!found) return;
    std::shared_ptr<Group> group = *found;
    tables().groups.remove(handle);
    const bool failed = info[1].IsString();
    if (failed) group->monitor->fail(info[1].As<Napi::String>().Utf8Value());
    group->close(failed);
  });
}

// groupCheck(group): throws who is gone, if anyone is
void group_check(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded_group(env, "groupCheck", [&] {
    const auto verdict = group_of(env, info[0], "groupCheck")->monitor->verdict();
    if (verdict) throw WorkerLost(verdict->rank, verdict->reason);
  });
}

// allReduce(group, tensor) -> work
Napi::Value all_reduce(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_group(env, "allReduce", [&] {
    auto group = group_of(env, info[0], "allReduce");
    return Napi::Number::New(env, tables().works.insert(group->all_reduce(tensor_of(env, info[1], "allReduce"))));
  });
}

// broadcast(group, tensor, root) -> work
Napi::Value broadcast(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_group(env, "broadcast", [&] {
    auto group = group_of(env, info[0], "broadcast");
    const int root = whole(env, info[2], "broadcast: root", 0, group->workers - 1);
    return Napi::Number::New(env, tables().works.insert(group->broadcast(tensor_of(env, info[1], "broadcast"), root)));
  });
}

// groupSettle(group, device)
void group_settle(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded_group(env, "settle", [&] {
    auto group = group_of(env, info[0], "settle");
    group->settle(c10::Device(string_argument(env, info[1], "settle: device")));
  });
}

// waitWork(group, work); the work is gone afterwards
void wait_work(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded_group(env, "wait", [&] {
    auto group = group_of(env, info[0], "wait");
    const WorkPtr work = entry(tables().works, env, info[1], "wait", "a collective");
    tables().works.remove(info[1].As<Napi::Number>().DoubleValue());
    group->wait(work);
  });
}

}  // namespace

std::shared_ptr<Group> group_of(Napi::Env env, Napi::Value value, const char* what) {
  return entry(tables().groups, env, value, what, "a process group");
}

void init_distributed(Napi::Env env, Napi::Object exports) {
  exports["groupOpen"] = Napi::Function::New(env, group_open, "groupOpen");
  exports["groupCheck"] = Napi::Function::New(env, group_check, "groupCheck");
  exports["groupClose"] = Napi::Function::New(env, group_close, "groupClose");
  exports["allReduce"] = Napi::Function::New(env, all_reduce, "allReduce");
  exports["broadcast"] = Napi::Function::New(env, broadcast, "broadcast");
  exports["groupSettle"] = Napi::Function::New(env, group_settle, "groupSettle");
  exports["waitWork"] = Napi::Function::New(env, wait_work, "waitWork");
  init_buckets(env, exports);
}

}  // namespace mamba_prune
