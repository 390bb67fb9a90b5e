// The kernels on the model of the device, behind the calls of the CUDA driver that `driver.py` makes.
#ifdef TTT_FORWARD
#include "kernel.cu"
#endif
#ifdef TTT_BACKWARD
#include "backward.cu"
#endif

namespace {

struct Entry {
  const char* name;
  void (*run)(const void*);
  const unsigned* threads_bytes;
  int cluster;
};

template <class Given, void (*kernel)(Given)>
void run(const void* parameter) {
  Given given;
  std::memcpy(&given, parameter, sizeof given);
  if constexpr (std::is_same_v<Given, Arguments>) {
    static float nowhere[Dump::END];  // where nobody asked for a dump
    if (!given.dump) given.dump = nowhere;
  }
  kernel(given);
}

#define ENTRY(GIVEN, NAME, CLUSTER) {#NAME, run<GIVEN, NAME>, NAME##_threads_bytes, CLUSTER}
const Entry ENTRIES[] = {
#ifdef TTT_FORWARD
    ENTRY(Arguments, ttt_mlp_1, 1),        ENTRY(Arguments, ttt_mlp_1_stores, 1), ENTRY(Arguments, ttt_mlp_2, 2),
    ENTRY(Arguments, ttt_mlp_2_stores, 2), ENTRY(Arguments, ttt_mlp_2_copies, 2), ENTRY(Arguments, ttt_mlp_4, 4),
    ENTRY(Arguments, ttt_mlp_4_stores, 4), ENTRY(Arguments, ttt_mlp_4_copies, 4), ENTRY(Arguments, ttt_mlp_2_of_4, 2),
#endif
#ifdef TTT_BACKWARD
    ENTRY(backward::Arguments, ttt_mlp_backward_2, 2), ENTRY(backward::Arguments, ttt_mlp_backward_4, 4),
#endif
};
std::string error;
unsigned chosen_seed = 0;
bool chosen_lazy = false;

int refuse(const char* why) {
  error = why;
  return 1;
}

}  // namespace

extern "C" {

// Of the launches that follow.
void choose(unsigned seed, int lazy) {
  chosen_seed = seed;
  chosen_lazy = lazy;
}

int cuModuleLoadData(void** module, const void*) {
  *module = &error;
  return 0;
}

int cuModuleGetFunction(void** function, void*, const char* name) {
  for (const Entry& entry : ENTRIES)
    if (std::string(name) == entry.name) {
      *function = const_cast<Entry*>(&entry);
      return 0;
    }
  return refuse("no such kernel");
}

int cuModuleGetGlobal_v2(unsigned long long* address, size_t* bytes, void*, const char* name) {
  for (const Entry& entry : ENTRIES)
    if (std::string(name) == std::string(entry.name) + "_threads_bytes") {
      *address = reinterpret_cast<unsigned long long>(entry.threads_bytes);
      *bytes = 8;
      return 0;
    }
  return refuse("no such variable");
}

int cuMemcpyDtoH_v2(void* to, unsigned long long from, size_t bytes) {
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return 0;
}

int cuFuncSetAttribute(void*, int attribute, int value) {
  return attribute == 8 && value > 0 && value <= static_cast<int>(device::SIZE) ? 0 : refuse("shared memory");
}

int cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* sizes,
                           const uint64_t* strides, const uint32_t* box, const uint32_t* steps, int interleave,
                           int swizzle, int, int fill) {
  const bool kind = type == 9 && rank == 4 && interleave == 0 && swizzle == 3 && fill == 0;
  bool fits = reinterpret_cast<uint64_t>(map) % 64 == 0 && reinterpret_cast<uint64_t>(address) % 16 == 0;
  const uint32_t boxes[4] = {64, 64, 1, 1};
  for (int i = 0; i < 4; ++i) fits = fits && box[i] == boxes[i] && steps[i] == 1 && sizes[i] > 0;
  for (int i = 0; i < 3; ++i) fits = fits && strides[i] % 16 == 0 && strides[i] > 0 && strides[i] < 1ull << 40;
  if (!kind || !fits || sizes[0] != 64) return refuse("a tensor map that the driver would refuse");
  const uint64_t words[5] = {reinterpret_cast<uint64_t>(address), strides[0], strides[1], strides[2], sizes[1]};
  std::memcpy(map, words, sizeof words);
  return 0;
}

int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned,
                   unsigned bytes, void*, void** parameters, void**) {
  const Entry& entry = *static_cast<Entry*>(function);
  if (threads != entry.threads_bytes[0] || bytes != entry.threads_bytes[1] || y != 1 || z != 1 || x % entry.cluster)
    return refuse("a launch of another shape");
  error.clear();
  for (unsigned block = 0; block < x && error.empty(); block += entry.cluster) {
    current_block = static_cast<int>(block);
    error = device::run(entry.cluster, static_cast<int>(threads), chosen_seed + block, chosen_lazy,
                        [&] { entry.run(parameters[0]); });
  }
  return error.empty() ? 0 : 719;
}

int cuGetErrorString(int, const char** words) {
  *words = error.c_str();
  return 0;
}

}  // extern "C"
