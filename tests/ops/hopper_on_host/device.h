// One cluster of a Hopper GPU on the host: every thread is a fiber; copies and products take their time.
//
// What the model holds: warps run in any order and at any pace (a seed picks both); st.async and TMA land late and in
// any order; stores to other blocks land late, with the next arrival of their warp there; products read shared memory when
// they are issued or, if LAZY, as late as their wait allows; barriers count arrivals and bytes, and complain of one arrival
// too many; unwritten shared memory is NaN. What it does not: proxies (fence.proxy.async), the registers' limits, and time.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_bf16.h"

namespace device {

constexpr uint32_t BASE = 1024, SIZE = 232448, RANK = 24;  // an address of another rank has rank + 1 in bits 24 up

struct Barrier {
  int pending = 0, arrivals = 0;
  long long bytes = 0;
  unsigned phase = 0;
  bool live = false;
};

// A place where `size` threads meet; the last one does the work of all. Two sets of slots: the next meeting may begin
// before the last lane has read what this one gave it.
struct Meeting {
  int size = 0, arrived = 0;
  unsigned number = 0;
  std::vector<void*> slots[2];
};

struct Block {
  std::vector<unsigned char> memory = std::vector<unsigned char>(SIZE, 0xFF);
  std::map<uint32_t, Barrier> barriers;
  std::map<int, Meeting> named;
  int rank = 0;
};

// Products of a warp, by committed group.
struct Group {
  std::vector<std::function<void()>> open;
  std::vector<std::vector<std::function<void()>>> committed;
};

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(256 * 1024);
  std::function<bool()> ready;
  Block* block = nullptr;
  int thread = 0;
  bool over = false;
};

struct Cluster {
  std::vector<Block> blocks;
  std::vector<Fiber> fibers;
  std::map<std::pair<Block*, int>, Meeting> warps;
  std::map<std::pair<Block*, int>, Group> products;
  std::map<std::pair<Block*, int>, std::vector<std::shared_ptr<std::function<void()>>>> stores;  // of a warp, unseen yet
  std::vector<std::pair<long, std::function<void()>>> deliveries;  // and the round when they land
  std::map<Fiber*, int> copies;  // under way to global memory
  long round = 0;
  Meeting all;
  std::mt19937 chance;
  bool lazy = false;
  std::string error;
  ucontext_t scheduler;
  Fiber* running = nullptr;
  std::function<void()> body;
};

inline Cluster* cluster = nullptr;

inline Fiber& self() { return *cluster->running; }

inline void fail(const std::string& why) {
  if (cluster->error.empty()) cluster->error = why;
}

inline void wait_until(std::function<bool()> ready) {
  Fiber& own = self();
  if (ready() && cluster->chance() % 64) return;
  own.ready = std::move(ready);
  swapcontext(&own.context, &cluster->scheduler);
}

// Meets; `work` is done once, by the last to come, with what every thread has put into the slots.
inline void meet(Meeting& place, int size, int slot, void* mine, const std::function<void(std::vector<void*>&)>& work) {
  const unsigned number = place.number;
  auto& slots = place.slots[number & 1];
  slots.resize(size);
  if (place.arrived && place.size != size) fail("a barrier for different numbers of threads");
  place.size = size;
  slots[slot] = mine;
  if (++place.arrived == size) {
    work(slots);
    place.arrived = 0;
    ++place.number;
  } else {
    wait_until([&place, number] { return place.number != number; });
  }
}

inline Meeting& warp() { return cluster->warps[{self().block, self().thread / 32}]; }
inline auto& stores() { return cluster->stores[{self().block, self().thread / 32}]; }
inline Group& products() { return cluster->products[{self().block, self().thread / 32}]; }

inline unsigned char* at(Block& block, uint32_t address, uint32_t bytes) {
  if (address < BASE || address + bytes > BASE + SIZE || address % bytes) {
    fail("shared memory address " + std::to_string(address) + " of " + std::to_string(bytes) + " bytes");
    address = BASE;
  }
  return block.memory.data() + (address - BASE);
}

template <class T>
T read(uint32_t address) {
  T x;
  std::memcpy(&x, at(*self().block, address, sizeof(T)), sizeof(T));
  return x;
}

template <class T>
void write(uint32_t address, const T& x) {
  std::memcpy(at(*self().block, address, sizeof(T)), &x, sizeof(T));
}

inline Barrier& barrier(Block& block, uint32_t address) {
  Barrier& b = block.barriers[address];
  if (!b.live) fail("a barrier that nobody made, at " + std::to_string(address));
  return b;
}

inline void settle(Barrier& b) {
  if (b.pending == 0 && b.bytes == 0) {
    ++b.phase;
    b.pending = b.arrivals;
  }
}

inline void arrive(Barrier& b, long long bytes) {
  if (b.pending == 0) fail("an arrival too many");
  --b.pending;
  b.bytes += bytes;
  settle(b);
}

// Soon, or now and then late.
inline void deliver(std::function<void()> act) {
  const long delay = cluster->chance() % (cluster->chance() % 64 ? 40 : 6000);
  cluster->deliveries.emplace_back(cluster->round + delay, std::move(act));
}

// A lane goes its own way for a while: only a barrier of the warp brings it back.
inline void stray() {
  if (cluster->chance() % 8) return;
  const auto back = std::make_shared<bool>(false);
  deliver([back] { *back = true; });
  wait_until([back] { return *back; });
}

inline uint32_t swizzled(uint32_t address) { return address ^ ((address >> 3) & 0x70); }

inline void enter() {
  cluster->body();
  self().over = true;
  swapcontext(&self().context, &cluster->scheduler);
}

// Runs `body` in every thread of `blocks` blocks of `threads`; an empty string, or what went wrong.
inline std::string run(int blocks, int threads, unsigned seed, bool lazy, std::function<void()> body) {
  auto own = std::make_unique<Cluster>();
  cluster = own.get();
  cluster->chance.seed(seed);
  cluster->lazy = lazy;
  cluster->body = std::move(body);
  cluster->blocks.resize(blocks);
  cluster->fibers = std::vector<Fiber>(blocks * threads);
  for (int i = 0; i < blocks * threads; ++i) {
    Fiber& fiber = cluster->fibers[i];
    fiber.block = &cluster->blocks[i / threads];
    fiber.block->rank = i / threads;
    fiber.thread = i % threads;
    fiber.ready = [] { return true; };
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  const int warps = blocks * threads / 32;
  std::vector<long> asleep(warps, 0);
  for (int left = blocks * threads; left && cluster->error.empty();) {
    bool moved = false;
    for (int w = 0; w < warps; ++w) {
      if (asleep[w] > 0) {
        moved = --asleep[w] == 0 || moved;  // it may be ready, and is asked in the next round
        continue;
      }
      if (cluster->chance() % 512 == 0) asleep[w] = cluster->chance() % (cluster->chance() % 16 ? 200 : 6000);
      for (int lane = 0; lane < 32; ++lane) {
        Fiber& fiber = cluster->fibers[32 * w + lane];
        if (fiber.over || !fiber.ready()) continue;
        cluster->running = &fiber;
        swapcontext(&cluster->scheduler, &fiber.context);
        moved = true;
        left -= fiber.over;
      }
    }
    auto& late = cluster->deliveries;
    ++cluster->round;
    for (size_t i = 0; i < late.size();) {
      if (late[i].first > cluster->round) {
        ++i;
        continue;
      }
      std::swap(late[i], late.back());
      const auto act = std::move(late.back().second);
      late.pop_back();
      act();
      moved = true;
    }
    if (moved) continue;
    // Nothing happens before the next warp wakes or the next delivery lands.
    long step = std::numeric_limits<long>::max();
    for (const long rounds : asleep) step = rounds > 0 ? std::min(step, rounds) : step;
    for (const auto& delivery : late) step = std::min(step, delivery.first - cluster->round);
    if (step == std::numeric_limits<long>::max()) fail("every thread waits");
    cluster->round += step;
    for (long& rounds : asleep) rounds = std::max(rounds - step, 0l);
  }
  std::string error = cluster->error;
  cluster = nullptr;
  return error;
}

}  // namespace device
