// The products of wgmma.cuh, done by the model of the device: operands are found through their descriptors.
#pragma once
#include "device.h"

namespace wgmma {

inline float element(const device::Block& block, uint64_t descriptor, bool rows, int line, int k) {
  const uint32_t address = (descriptor & 0x3FFF) << 4, leading = ((descriptor >> 16) & 0x3FFF) << 4;
  const uint32_t stride = ((descriptor >> 32) & 0x3FFF) << 4;
  if (descriptor >> 62 != 1 || ((descriptor >> 49) & 7)) device::fail("a descriptor without the 128-byte swizzle");
  const uint32_t place = rows ? address + (line / 64) * leading + (k / 8) * stride + (k % 8) * 128 + (line % 64) * 2
                              : address + (line / 8) * stride + (line % 8) * 128 + k * 2;
  uint16_t bits;
  std::memcpy(&bits, device::at(const_cast<device::Block&>(block), device::swizzled(place), 2), 2);
  return from_bfloat16(bits);
}

struct Product {
  float* d;
  uint32_t a[4];
  uint64_t da, db;
  bool registers, a_rows, b_rows;
  int n, add;
};

// A warp's 16 rows: each warp of a warpgroup has its own matrix unit, and none waits for the others here.
inline void compute(const device::Block& block, const std::vector<Product>& lanes, int warp) {
  const Product& one = lanes[0];
  float a[16][16], b[16][256];
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k) {
      if (!one.registers) {
        a[m][k] = element(block, one.da, one.a_rows, 16 * warp + m, k);
        continue;
      }
      const uint32_t pair = lanes[4 * (m % 8) + (k % 8) / 2].a[2 * (k / 8) + m / 8];
      a[m][k] = from_bfloat16(static_cast<uint16_t>(k % 2 ? pair >> 16 : pair));
    }
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < one.n; ++n) b[k][n] = element(block, one.db, one.b_rows, n, k);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < one.n / 2; ++i) {
      const int m = lane / 4 + 8 * ((i % 4) / 2), n = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
      float sum = one.add ? lanes[lane].d[i] : 0.f;
      for (int k = 0; k < 16; ++k) sum += a[m][k] * b[k][n];
      lanes[lane].d[i] = sum;
    }
}

inline void issue(Product own) {
  device::meet(device::warp(), 32, device::self().thread % 32, &own, [](std::vector<void*>& all) {
    std::vector<Product> lanes;
    for (void* p : all) lanes.push_back(*static_cast<Product*>(p));
    for (const Product& p : lanes)
      if (p.da != lanes[0].da || p.db != lanes[0].db) device::fail("lanes differ in their operands");
    device::Block* block = device::self().block;
    const int warp = device::self().thread / 32 % 4;
    auto act = [block, lanes, warp] { compute(*block, lanes, warp); };
    if (device::cluster->lazy)
      device::products().open.push_back(act);
    else
      act();
  });
}

inline void fence() {}

inline void commit() {
  device::meet(device::warp(), 32, device::self().thread % 32, nullptr, [](auto&) {
    device::Group& group = device::products();
    group.committed.push_back(std::move(group.open));
    group.open.clear();
  });
}

template <int pending>
void wait() {
  device::meet(device::warp(), 32, device::self().thread % 32, nullptr, [](auto&) {
    auto& groups = device::products().committed;
    while (groups.size() > pending) {
      for (auto& act : groups.front()) act();
      groups.erase(groups.begin());
    }
  });
}

inline void wait_for_all_but(int pending) {
  if (pending == 0) wait<0>();
  if (pending == 1) wait<1>();
  if (pending == 2) wait<2>();
}

template <int n>
void settle(float (&)[n]) {}
template <int n>
void settle(uint32_t (&)[n][4]) {}

template <bool ROWS, int n>
void product(float (&d)[n], uint64_t a, uint64_t b, int add) {
  issue({d, {}, a, b, false, ROWS, true, 2 * n, add});
}

template <bool ROWS>
void product(float (&d)[32], const uint32_t (&a)[4], uint64_t b, int add) {
  issue({d, {a[0], a[1], a[2], a[3]}, 0, b, true, false, ROWS, 64, add});
}

}  // namespace wgmma
