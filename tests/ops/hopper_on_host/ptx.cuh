// The instructions of ptx.cuh, done by the model of the device.
#pragma once
#include <utility>

#include "device.h"

struct Index {
  int x;
};
#define threadIdx (Index{device::self().thread})
#define blockIdx (Index{current_block + device::self().block->rank})
inline int current_block = 0;  // the first block of the cluster
inline unsigned char memory[1];

inline uint64_t __cvta_generic_to_shared(const void*) { return device::BASE; }
inline void __trap() { device::fail("a trap"); }

inline void __syncwarp() {
  device::meet(device::warp(), 32, device::self().thread % 32, nullptr, [](auto&) {});
}
inline void __syncthreads() {
  const int threads = static_cast<int>(device::cluster->fibers.size() / device::cluster->blocks.size());
  device::meet(device::self().block->named[0], threads, device::self().thread, nullptr, [](auto&) {});
}
template <class T>
T exchange_lanes(T x, int from) {
  struct Both {
    T in, out;
    int from;
  } both{x, x, from};
  device::meet(device::warp(), 32, device::self().thread % 32, &both, [](std::vector<void*>& all) {
    for (void* p : all) {
      Both& own = *static_cast<Both*>(p);
      own.out = static_cast<Both*>(all[own.from])->in;
    }
  });
  return both.out;
}
template <class T>
T __shfl_xor_sync(unsigned, T x, int mask) {
  return exchange_lanes(x, (device::self().thread % 32) ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T x, int from) {
  return exchange_lanes(x, from);
}

namespace ptx {

inline void fence_async() {}
inline void fence_barrier_init() {}

inline void named_barrier(int number, int threads) {
  device::meet(device::self().block->named[number], threads, device::self().thread % threads, nullptr, [](auto&) {});
}

inline void barrier_init(uint32_t address, uint32_t arrivals) {
  device::Barrier& b = device::self().block->barriers[address];
  if (b.live || address % 8) device::fail("a barrier made twice, or out of line");
  b.live = true;
  b.pending = b.arrivals = static_cast<int>(arrivals);
}

inline void arrive(uint32_t address) { device::arrive(device::barrier(*device::self().block, address), 0); }

inline void arrive_expecting(uint32_t address, uint32_t bytes) {
  device::arrive(device::barrier(*device::self().block, address), bytes);
}

template <bool CLUSTER>
void wait(uint32_t address, uint32_t parity) {
  device::Barrier& b = device::barrier(*device::self().block, address);
  device::wait_until([&b, parity] { return (b.phase & 1) != parity; });
}

inline uint32_t at_rank(uint32_t address, uint32_t rank) {
  if (rank >= device::cluster->blocks.size()) device::fail("a rank outside the cluster");
  return address | (rank + 1) << device::RANK;
}

inline device::Block& block_of(uint32_t address) {
  const uint32_t rank = address >> device::RANK;
  return rank ? device::cluster->blocks[rank - 1] : *device::self().block;
}

inline void send(uint32_t to, const uint32_t (&x)[4], uint32_t barrier) {
  if (to >> device::RANK != barrier >> device::RANK) device::fail("data and barrier at different ranks");
  device::Block* there = &block_of(to);
  const uint32_t mask = (1u << device::RANK) - 1;
  const uint4 chunk{x[0], x[1], x[2], x[3]};
  device::deliver([=] {
    std::memcpy(device::at(*there, to & mask, 16), &chunk, 16);
    device::Barrier& b = device::barrier(*there, barrier & mask);
    b.bytes -= 16;
    device::settle(b);
  });
}

// Seen as late as it may be: with the first `arrive_there` of the warp since then that lands.
template <bool LOCAL>
void store_there(uint32_t to, const uint32_t (&x)[4]) {
  if (LOCAL != (to >> device::RANK == 0)) device::fail("a store to the wrong kind of address");
  device::stray();
  unsigned char* place = device::at(block_of(to), to & ((1u << device::RANK) - 1), 16);
  const uint4 chunk{x[0], x[1], x[2], x[3]};
  device::stores().push_back(std::make_shared<std::function<void()>>([=] { std::memcpy(place, &chunk, 16); }));
}

template <bool LOCAL>
void arrive_there(uint32_t barrier) {
  if (LOCAL != (barrier >> device::RANK == 0)) device::fail("an arrival at the wrong kind of address");
  device::Block* there = &block_of(barrier);
  auto& stores = device::stores();
  stores.erase(std::remove_if(stores.begin(), stores.end(), [](auto& store) { return !*store; }), stores.end());
  device::deliver([there, barrier, stores] {
    for (const auto& store : stores)
      if (const auto act = std::exchange(*store, nullptr)) act();
    device::arrive(device::barrier(*there, barrier & ((1u << device::RANK) - 1)), 0);
  });
}

// What a copy reads is stored like any other matrix.
inline void store_chunk(uint32_t to, const uint32_t (&x)[4]) {
  device::stray();
  device::write(to, uint4{x[0], x[1], x[2], x[3]});
}

// Read as late as it may be.
inline void copy_there(uint32_t to, uint32_t from, uint32_t bytes, uint32_t barrier) {
  if (to >> device::RANK != barrier >> device::RANK) device::fail("data and barrier at different ranks");
  if (to % 16 || from % 16 || bytes % 16) device::fail("a copy out of line");
  device::Block *here = device::self().block, *there = &block_of(to);
  device::deliver([=] {
    const uint32_t mask = (1u << device::RANK) - 1;
    for (uint32_t at = 0; at < bytes; at += 16)
      std::memcpy(device::at(*there, (to & mask) + at, 16), device::at(*here, from + at, 16), 16);
    device::Barrier& b = device::barrier(*there, barrier & mask);
    b.bytes -= bytes;
    device::settle(b);
  });
}

inline uint32_t clock() { return static_cast<uint32_t>(device::cluster->round); }

inline uint32_t cluster_rank() { return device::self().block->rank; }

inline void cluster_sync() {
  device::Fiber& own = device::self();
  const int number = static_cast<int>(&own - device::cluster->fibers.data());
  device::meet(device::cluster->all, static_cast<int>(device::cluster->fibers.size()), number, nullptr, [](auto&) {});
}

// A map is {address, bytes between tokens, heads, sequences, tokens}.
inline void load_box(uint32_t to, const void* map, uint32_t barrier, int x, int y, int z, int w) {
  uint64_t words[5];
  std::memcpy(words, map, sizeof words);
  device::Block* here = device::self().block;
  if (x || to % 1024) device::fail("a box out of line");
  device::deliver([=] {
    for (int row = 0; row < 64; ++row)
      for (int chunk = 0; chunk < 8; ++chunk) {
        const char* from = reinterpret_cast<const char*>(words[0]) + static_cast<long long>(words[1]) * (y + row) +
                           static_cast<long long>(words[2]) * z + static_cast<long long>(words[3]) * w + 16 * chunk;
        unsigned char* place = device::at(*here, device::swizzled(to + 128 * row + 16 * chunk), 16);
        if (y + row < static_cast<long long>(words[4]))
          std::memcpy(place, from, 16);
        else
          std::memset(place, 0, 16);
      }
    device::Barrier& b = device::barrier(*here, barrier);
    b.bytes -= 8192;
    device::settle(b);
  });
}

struct Blocks {
  uint32_t address;
  uint32_t x[4];
};

inline void store_blocks(uint32_t address, const uint32_t (&x)[4]) {
  Blocks own{address, {x[0], x[1], x[2], x[3]}};
  device::meet(device::warp(), 32, device::self().thread % 32, &own, [](std::vector<void*>& all) {
    for (int lane = 0; lane < 32; ++lane)
      for (int block = 0; block < 4; ++block) {
        const uint32_t row = static_cast<Blocks*>(all[8 * block + lane / 4])->address;
        device::at(*device::self().block, row, 16);
        device::write(row + 4 * (lane % 4), static_cast<Blocks*>(all[lane])->x[block]);
      }
  });
}

inline void load_blocks(uint32_t (&x)[4], uint32_t address) {
  Blocks own{address, {}};
  device::meet(device::warp(), 32, device::self().thread % 32, &own, [](std::vector<void*>& all) {
    for (int lane = 0; lane < 32; ++lane)
      for (int block = 0; block < 4; ++block) {
        const uint32_t row = static_cast<Blocks*>(all[8 * block + lane / 4])->address;
        device::at(*device::self().block, row, 16);
        static_cast<Blocks*>(all[lane])->x[block] = device::read<uint32_t>(row + 4 * (lane % 4));
      }
  });
  std::memcpy(x, own.x, sizeof own.x);
}

inline void load_blocks_transposed(uint32_t (&x)[4], uint32_t address) {
  Blocks own{address, {}};
  device::meet(device::warp(), 32, device::self().thread % 32, &own, [](std::vector<void*>& all) {
    for (int lane = 0; lane < 32; ++lane)
      for (int block = 0; block < 4; ++block) {
        uint32_t pair = 0;
        for (int e = 0; e < 2; ++e) {
          const uint32_t row = static_cast<Blocks*>(all[8 * block + 2 * (lane % 4) + e])->address;
          device::at(*device::self().block, row, 16);
          pair |= static_cast<uint32_t>(device::read<uint16_t>(row + 2 * (lane / 4))) << (16 * e);
        }
        static_cast<Blocks*>(all[lane])->x[block] = pair;
      }
  });
  std::memcpy(x, own.x, sizeof own.x);
}

struct Columns {
  float* sums;
  uint32_t x[2];
};

inline void add_columns(float (&sums)[4], uint32_t upper, uint32_t lower) {
  Columns own{sums, {upper, lower}};
  device::meet(device::warp(), 32, device::self().thread % 32, &own, [](std::vector<void*>& all) {
    float column[8] = {};
    for (int lane = 0; lane < 32; ++lane)
      for (uint32_t pair : static_cast<Columns*>(all[lane])->x)
        column[lane / 4] += from_bfloat16(static_cast<uint16_t>(pair)) + from_bfloat16(static_cast<uint16_t>(pair >> 16));
    for (int lane = 0; lane < 32; ++lane)
      for (int e = 0; e < 4; ++e) static_cast<Columns*>(all[lane])->sums[e] += column[2 * (lane % 4) + e % 2];
  });
}

inline float load_float(uint32_t address) { return device::read<float>(address); }
inline float2 load_pair(uint32_t address) { return device::read<float2>(address); }
inline void store_float(uint32_t address, float x) { device::write(address, x); }
inline void store_pair(uint32_t address, float x, float y) { device::write(address, float2{x, y}); }
inline uint4 load_chunk(uint32_t address) { return device::read<uint4>(address); }

template <int registers>
void fewer_registers() {}
template <int registers>
void more_registers() {}

inline float tanh(float x) { return std::tanh(x); }

}  // namespace ptx
