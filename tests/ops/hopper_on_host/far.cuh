// The instructions of far.cuh, done by the model of the device: arrivals late, copies of bytes read and written late.
#pragma once
#include "device.h"

namespace far {

inline void arrive(uint32_t barrier) {
  device::Block* there = &device::cluster->blocks[(barrier >> device::RANK) - 1];
  const uint32_t place = barrier & ((1u << device::RANK) - 1);
  device::deliver([=] { device::arrive(device::barrier(*there, place), 0); });
}

inline void store_chunk(uint32_t to, const uint32_t (&x)[4]) { device::write(to, uint4{x[0], x[1], x[2], x[3]}); }

inline void load_bytes(uint32_t to, const void* from, uint32_t bytes, uint32_t barrier) {
  device::Block* here = device::self().block;
  if (to % 16 || reinterpret_cast<uint64_t>(from) % 16 || bytes % 16) device::fail("a copy out of line");
  device::deliver([=] {
    for (uint32_t i = 0; i < bytes; i += 16)
      std::memcpy(device::at(*here, to + i, 16), static_cast<const char*>(from) + i, 16);
    device::Barrier& b = device::barrier(*here, barrier);
    b.bytes -= bytes;
    device::settle(b);
  });
}

inline void store_bytes(void* to, uint32_t from, uint32_t bytes) {
  device::Block* here = device::self().block;
  int& copies = device::cluster->copies[&device::self()];
  if (from % 16 || reinterpret_cast<uint64_t>(to) % 16 || bytes % 16) device::fail("a copy out of line");
  ++copies;
  device::deliver([=, &copies] {
    for (uint32_t i = 0; i < bytes; i += 16)
      std::memcpy(static_cast<char*>(to) + i, device::at(*here, from + i, 16), 16);
    --copies;
  });
}

inline void wait_until_stored() {
  const int& copies = device::cluster->copies[&device::self()];
  device::wait_until([&copies] { return copies == 0; });
}

}  // namespace far
