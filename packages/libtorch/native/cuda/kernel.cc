#include "kernel.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "driver.h"

namespace mamba_prune::cuda {

namespace {

std::string& kernel_folder() {
  static std::string folder;
  return folder;
}

std::string read_file(const std::string& name) {
  const std::string path = kernel_folder() + "/" + name;
  std::ifstream file(path, std::ios::binary);
  TORCH_CHECK(file, "CUDA: the kernel source ", path, " cannot be read.");
  return {std::istreambuf_iterator<char>(file), {}};
}

// A source, and the headers that it includes, directly or not, by their names. NVRTC is given them all, so that the
// key of what it made covers them.
struct Source {
  std::string text;
  std::map<std::string, std::string> headers;
};

// The names in the lines `#include "NAME"` of a text.
std::vector<std::string> included_names(const std::string& text) {
  static const std::string begin = "\n#include \"";
  std::vector<std::string> names;
  const std::string lines = "\n" + text;
  for (size_t at = lines.find(begin); at != std::string::npos; at = lines.find(begin, at)) {
    at += begin.size();
    names.push_back(lines.substr(at, lines.find('"', at) - at));
  }
  return names;
}

Source read_source(const std::string& name) {
  Source source{read_file("common.cuh") + read_file(name), {}};
  std::vector<std::string> wanted = included_names(source.text);
  while (!wanted.empty()) {
    const std::string header = wanted.back();
    wanted.pop_back();
    if (source.headers.count(header) != 0) continue;
    const std::string& text = source.headers[header] = read_file(header);
    const std::vector<std::string> more = included_names(text);
    wanted.insert(wanted.end(), more.begin(), more.end());
  }
  return source;
}

void append_defines(std::string& text, const Defines& defines) {
  for (const auto& [name, value] : defines)
    text.append("#define ").append(name).append(" ").append(std::to_string(value)).append("\n");
}

// $XDG_CACHE_HOME/mamba-prune/kernels, or that in ~/.cache; empty when there is no place to write to.
std::string cache_folder() {
  const char *given = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  std::string folder = given && *given ? given : home && *home ? std::string(home) + "/.cache" : "";
  if (folder.empty()) return "";
  for (const char* part : {"", "/mamba-prune", "/kernels"}) {
    folder += part;
    mkdir(folder.c_str(), 0755);  // it may be there already; if it cannot be made, nothing is kept
  }
  return folder;
}

uint64_t fnv1a(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

// A cached file is its whole key, a zero, then the program: a collision of hashes is seen, not used.
std::string read_cached(const std::string& path, const std::string& key) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "";
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  if (content.size() <= key.size() + 1 || content.compare(0, key.size(), key) != 0 || content[key.size()] != '\0')
    return "";
  return content.substr(key.size() + 1);
}

// Written beside and renamed, so that no process ever reads half a file. A cache that cannot be written is no error.
void write_cached(const std::string& path, const std::string& key, const std::string& program) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary);
    file << key << '\0' << program;
    file.close();
    if (!file) {
      std::remove(temporary.c_str());
      return;
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) std::remove(temporary.c_str());
}

std::string compile(const std::string& text, const Source& source, const std::string& name, const std::string& arch) {
  const Nvrtc& n = nvrtc();
  std::vector<const char*> names, contents;
  for (const auto& [header, content] : source.headers)
    names.push_back(header.c_str()), contents.push_back(content.c_str());
  void* program = nullptr;
  int code =
      n.create(&program, text.c_str(), name.c_str(), static_cast<int>(names.size()), contents.data(), names.data());
  TORCH_CHECK(code == 0, "CUDA: NVRTC does not start: ", n.error_string(code));
  const std::string arch_option = "--gpu-architecture=" + arch;
  const char* options[] = {arch_option.c_str(), "--std=c++17"};
  code = n.compile(program, 2, options);
  if (code != 0) {
    size_t size = 0;
    n.log_size(program, &size);
    std::string log(size, '\0');
    if (size > 0) n.log(program, log.data());
    n.destroy(&program);
    TORCH_CHECK(false, "CUDA: the kernel ", name, " does not compile for ", arch, ":\n", log);
  }
  size_t size = 0;
  n.cubin_size(program, &size);
  std::string cubin(size, '\0');
  n.cubin(program, cubin.data());
  n.destroy(&program);
  return cubin;
}

std::string architecture() {
  const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
  TORCH_CHECK(device->major >= 8, "CUDA: got a GPU of compute capability ", device->major, ".", device->minor,
              ", expected 8.0 or newer (Ampere on). Use --device cpu.");
  // With the instructions that Hopper alone has.
  const char* own = device->major == 9 && device->minor == 0 ? "a" : "";
  return "sm_" + std::to_string(device->major) + std::to_string(device->minor) + own;
}

// The module of one source with one set of defines; compiled or read from the cache.
void* load_module(const char* file, const std::string& defines) {
  static std::map<std::string, Source> sources;
  auto found = sources.find(file);
  if (found == sources.end()) found = sources.emplace(file, read_source(file)).first;
  const Source& source = found->second;
  const std::string text = defines + source.text, arch = architecture();
  int major = 0, minor = 0;
  nvrtc().version(&major, &minor);
  std::string key = "nvrtc " + std::to_string(major) + "." + std::to_string(minor) + " " + arch + "\n" + text;
  for (const auto& [header, content] : source.headers) key.append("\n").append(header).append("\n").append(content);
  const std::string folder = cache_folder();
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(fnv1a(key)));
  const std::string path = folder + "/" + file + "-" + hash;
  std::string program = folder.empty() ? "" : read_cached(path, key);
  void* module = nullptr;
  // A damaged file is compiled again.
  if (!program.empty() && driver().module_load_data(&module, program.data()) == 0) return module;
  program = compile(text, source, file, arch);
  check_driver(driver().module_load_data(&module, program.data()), "loading a kernel");
  if (!folder.empty()) write_cached(path, key, program);
  return module;
}

// A thread's first call of the driver needs a context, which only libtorch's runtime gives it: in a thread of autograd
// whose first kernel is one of these, and whose memory was there already, nothing has called that.
void have_context() {
  thread_local const bool had = (c10::cuda::currentStreamCaptureStatusMayInitCtx(), true);
  (void)had;
}

}  // namespace

void set_kernel_folder(std::string folder) { kernel_folder() = std::move(folder); }

const Kernel& find_kernel(const char* file, const char* function, const Defines& defines) {
  have_context();
  static std::mutex mutex;
  static std::unordered_map<std::string, void*> modules;
  static std::unordered_map<std::string, Kernel> kernels;
  // Called for every launch: one string, one look-up.
  std::string key;
  key.reserve(512);
  append_defines(key, defines);
  const size_t defines_end = key.size();
  key.append(file).append("@").append(std::to_string(c10::cuda::current_device()));
  const size_t module_end = key.size();
  key.append("@").append(function);
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = kernels.find(key);
  if (known != kernels.end()) return known->second;
  const std::string module_key = key.substr(0, module_end);
  auto module = modules.find(module_key);
  if (module == modules.end())
    module = modules.emplace(module_key, load_module(file, key.substr(0, defines_end))).first;
  void* found = nullptr;
  check_driver(driver().module_get_function(&found, module->second, function), "finding a kernel");
  return kernels.emplace(std::move(key), Kernel(found)).first->second;
}

// More than 48 KiB have to be asked for.
void Kernel::ask_for_shared(unsigned bytes) const {
  constexpr int kMaxDynamicSharedSize = 8;
  if (bytes > 48 * 1024)
    check_driver(driver().set_attribute(function_, kMaxDynamicSharedSize, static_cast<int>(bytes)),
                 "asking for shared memory");
}

int Kernel::active_clusters(unsigned blocks, unsigned threads, unsigned shared_bytes) const {
  if (!driver().max_active_clusters) return 0;
  ask_for_shared(shared_bytes);
  constexpr int kNonPortableClusterSizeAllowed = 14;
  if (driver().set_attribute(function_, kNonPortableClusterSizeAllowed, 1) != 0) return 0;
  // CUlaunchConfig and CUlaunchAttribute of cuda.h.
  struct Attribute {
    int id;
    char padding[4];
    unsigned value[16];
  } attribute{4 /* cluster dimension */, {}, {blocks, 1, 1}};
  struct {
    unsigned grid[3], block[3], shared_bytes;
    void* stream;
    Attribute* attributes;
    unsigned count;
  } config{{blocks, 1, 1}, {threads, 1, 1}, shared_bytes, nullptr, &attribute, 1};
  static_assert(sizeof(Attribute) == 72 && sizeof config == 56, "as cuda.h lays them out");
  int count = 0;
  // What a GPU cannot do at all is an error here.
  return driver().max_active_clusters(&count, function_, &config) == 0 ? count : 0;
}

void Kernel::launch_with(Grid grid, unsigned threads, unsigned shared_bytes, void** arguments) const {
  ask_for_shared(shared_bytes);
  void* stream = c10::cuda::getCurrentCUDAStream().stream();
  check_driver(driver().launch_kernel(function_, grid.x, grid.y, grid.z, threads, 1, 1, shared_bytes, stream, arguments,
                                      nullptr),
               "launching a kernel");
}

}  // namespace mamba_prune::cuda
