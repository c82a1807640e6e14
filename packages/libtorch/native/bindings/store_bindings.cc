// The workers' store for JavaScript.
#include "bindings/arguments.h"
#include "bindings/launcher_store.h"
#include "bindings/store.h"
#include "bindings/store_server.h"

namespace mamba_prune {

namespace store_bindings {

struct OpenStore {
  // The client goes first.
  std::unique_ptr<StoreServer> server;
  c10::intrusive_ptr<StoreClient> client;
  uint16_t port = 0;
};

// One per JavaScript thread. Never destroyed: a store that was left open is the process's to end.
HandleTable<std::shared_ptr<OpenStore>>& table() {
  static thread_local auto* made = new HandleTable<std::shared_ptr<OpenStore>>(1ull << 49);
  return *made;
}

StoreClient& client_of(const Napi::CallbackInfo& info, const char* what) {
  return *entry(table(), info.Env(), info[0], what, "a store")->client;
}

StoreClient::Bytes bytes_argument(Napi::Env env, Napi::Value value, const char* what) {
  const std::string text = string_argument(env, value, what);
  return {text.begin(), text.end()};
}

std::shared_ptr<OpenStore> open(const std::string& host, uint16_t port, bool hosts, std::chrono::milliseconds timeout) {
  auto store = std::make_shared<OpenStore>();
  store->port = port;
  if (hosts) {
    store->server = std::make_unique<StoreServer>(host, port);
    store->port = store->server->port();
  }
  try {
    store->client = c10::make_intrusive<StoreClient>(host, store->port, timeout);
  } catch (const StoreLost& error) {
    if (!hosts) throw;
    throw StoreLost(std::string("it does not reach itself there: ") + error.what());
  }
  return store;
}

// storeOpen(host, port, isServer, timeoutMs) -> store; port 0: the server chooses one
Napi::Value store_open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeOpen", [&]() -> Napi::Value {
    const std::string host = string_argument(env, info[0], "storeOpen: host");
    const auto port = static_cast<uint16_t>(whole(env, info[1], "storeOpen: port", 0, 65535));
    const bool hosts = info[2].IsBoolean() && info[2].As<Napi::Boolean>().Value();
    return Napi::Number::New(env,
                             table().insert(open(host, port, hosts, duration(env, info[3], "storeOpen: timeout"))));
  });
}

Napi::Value store_port(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), entry(table(), info.Env(), info[0], "storePort", "a store")->port);
}

// storeSet(store, key, value)
void store_set(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "storeSet", [&] {
    client_of(info, "storeSet")
        .set(string_argument(env, info[1], "storeSet"), bytes_argument(env, info[2], "storeSet"));
  });
}

// storeGet(store, key) -> value, null if there is none yet; waits for nothing
Napi::Value store_get(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeGet", [&]() -> Napi::Value {
    const auto value = client_of(info, "storeGet").look(string_argument(env, info[1], "storeGet"));
    if (!value) return env.Null();
    return Napi::String::New(env, *value);
  });
}

// storeCheck(store, keys) -> whether all are there
Napi::Value store_check(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeCheck", [&] {
    return Napi::Boolean::New(env, client_of(info, "storeCheck").check(strings_argument(env, info[1], "storeCheck")));
  });
}

// storeWait(store, keys, timeoutMs) -> their values, when all are there; blocks the thread
Napi::Value store_wait(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeWait", [&]() -> Napi::Value {
    StoreClient& client = client_of(info, "storeWait");
    const StoreClient::Keys keys = strings_argument(env, info[1], "storeWait");
    client.wait(keys, duration(env, info[2], "storeWait: timeout"));
    const std::vector<StoreClient::Bytes> values = client.multiGet(keys);
    Napi::Array array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); ++i) {
      array.Set(i, Napi::String::New(env, std::string(values[i].begin(), values[i].end())));
    }
    return array;
  });
}

// storeAdd(store, key, value) -> the sum
Napi::Value store_add(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeAdd", [&] {
    const int value = whole(env, info[2], "storeAdd: value", -2'000'000'000, 2'000'000'000);
    const int64_t sum = client_of(info, "storeAdd").add(string_argument(env, info[1], "storeAdd"), value);
    return Napi::Number::New(env, static_cast<double>(sum));
  });
}

// storeCompareSet(store, key, expected, desired) -> the value afterwards
Napi::Value store_compare_set(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeCompareSet", [&] {
    const std::string key = string_argument(env, info[1], "storeCompareSet");
    const auto value = client_of(info, "storeCompareSet")
                           .compareSet(key, bytes_argument(env, info[2], "storeCompareSet"),
                                       bytes_argument(env, info[3], "storeCompareSet"));
    return Napi::String::New(env, std::string(value.begin(), value.end()));
  });
}

// storeAppend(store, key, value)
void store_append(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "storeAppend", [&] {
    client_of(info, "storeAppend")
        .append(string_argument(env, info[1], "storeAppend"), bytes_argument(env, info[2], "storeAppend"));
  });
}

// storeDelete(store, key) -> whether it was there
Napi::Value store_delete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeDelete", [&] {
    return Napi::Boolean::New(env,
                              client_of(info, "storeDelete").deleteKey(string_argument(env, info[1], "storeDelete")));
  });
}

// storeCount(store) -> number of keys
Napi::Value store_count(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "storeCount", [&] {
    return Napi::Number::New(env, static_cast<double>(client_of(info, "storeCount").getNumKeys()));
  });
}

// storeLeave(store, key, value): the server sets it when this connection ends
void store_leave(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "storeLeave", [&] {
    client_of(info, "storeLeave")
        .leave({{string_argument(env, info[1], "storeLeave"), string_argument(env, info[2], "storeLeave")}});
  });
}

void store_close(const Napi::CallbackInfo& info) {
  if (info[0].IsNumber()) table().remove(info[0].As<Napi::Number>().DoubleValue());
}

LauncherStore launcher(const Napi::CallbackInfo& info, Napi::Value timeout, const char* what) {
  Napi::Env env = info.Env();
  const std::string host = string_argument(env, info[0], what);
  return {host, static_cast<uint16_t>(whole(env, info[1], what, 1, 65535)), duration(env, timeout, what)};
}

// launcherSet(host, port, key, value, timeoutMs)
void launcher_set(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "launcherSet", [&] {
    launcher(info, info[4], "launcherSet")
        .set(string_argument(env, info[2], "launcherSet"), string_argument(env, info[3], "launcherSet"));
  });
}

// launcherGet(host, port, key, timeoutMs) -> value, null if there is none yet
Napi::Value launcher_get(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "launcherGet", [&]() -> Napi::Value {
    const auto value = launcher(info, info[3], "launcherGet").get(string_argument(env, info[2], "launcherGet"));
    if (!value) return env.Null();
    return Napi::String::New(env, *value);
  });
}

}  // namespace store_bindings

void init_store(Napi::Env env, Napi::Object exports) {
  using namespace store_bindings;
  exports["storeOpen"] = Napi::Function::New(env, store_open, "storeOpen");
  exports["storePort"] = Napi::Function::New(env, store_port, "storePort");
  exports["storeSet"] = Napi::Function::New(env, store_set, "storeSet");
  exports["storeGet"] = Napi::Function::New(env, store_get, "storeGet");
  exports["storeCheck"] = Napi::Function::New(env, store_check, "storeCheck");
  exports["storeWait"] = Napi::Function::New(env, store_wait, "storeWait");
  exports["storeAdd"] = Napi::Function::New(env, store_add, "storeAdd");
  exports["storeCompareSet"] = Napi::Function::New(env, store_compare_set, "storeCompareSet");
  exports["storeAppend"] = Napi::Function::New(env, store_append, "storeAppend");
  exports["storeDelete"] = Napi::Function::New(env, store_delete, "storeDelete");
  exports["storeCount"] = Napi::Function::New(env, store_count, "storeCount");
  exports["storeLeave"] = Napi::Function::New(env, store_leave, "storeLeave");
  exports["storeClose"] = Napi::Function::New(env, store_close, "storeClose");
  exports["launcherSet"] = Napi::Function::New(env, launcher_set, "launcherSet");
  exports["launcherGet"] = Napi::Function::New(env, launcher_get, "launcherGet");
}

}  // namespace mamba_prune
