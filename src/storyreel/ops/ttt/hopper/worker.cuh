// The part of a head that one worker has, and what its two steps (gradient.cuh, output.cuh) have in common.
#pragma once
#include "pieces.cuh"
#include "plan.cuh"
#include "wgmma.cuh"

// `number` among the workers of the head, `local` among those of this multiprocessor; lanes count within the warpgroup.
template <class P>
struct Worker {
  const Arguments& given;
  uint32_t shared;
  int number, local, row, batch, head, warp, lane;

  __device__ __forceinline__ int thread() const { return 32 * warp + lane; }
  __device__ __forceinline__ uint32_t matrices(int of) const { return shared + P::WORKER + of * P::WORKER_MATRICES; }
  __device__ __forceinline__ uint32_t matrix(uint32_t which) const { return matrices(local) + which; }
  __device__ __forceinline__ uint32_t floats(uint32_t which) const {
    return shared + P::FLOATS + local * P::WORKER_FLOATS + which;
  }
  __device__ __forceinline__ uint32_t w1(int state) const { return matrix(P::W1) + state * P::MATRIX; }
  __device__ __forceinline__ uint32_t w2(int state) const { return matrix(P::W2) + state * P::MATRIX; }
  __device__ __forceinline__ uint32_t b1(int state) const { return floats(P::B1) + state * P::COLUMNS * 4; }
  __device__ __forceinline__ uint32_t b2(int state) const { return floats(P::B2) + state * 64 * 4; }
  __device__ __forceinline__ uint32_t barrier(uint32_t first, int number_) const { return shared + first + 8 * number_; }
  // A lane's first column of block j of 8 columns.
  __device__ __forceinline__ int column(int j) const { return 8 * j + 2 * (lane & 3); }

  // Where worker `to` keeps what this one sends it, and the barrier that counts it, as places of the cluster.
  __device__ __forceinline__ uint32_t at(int to, uint32_t first, uint32_t bytes, int exchange) const {
    const int slot = number - (number > to ? 1 : 0);
    const uint32_t place = matrices(P::CLUSTER == 1 ? to : 0) + first + (exchange * (P::WORKERS - 1) + slot) * bytes;
    return ptx::at_rank(place, P::CLUSTER == 1 ? 0 : to);
  }
  __device__ __forceinline__ uint32_t signal(int to, uint32_t first, int exchange) const {
    const int of = (P::CLUSTER == 1 ? to : 0) * P::EXCHANGES + exchange;
    return ptx::at_rank(barrier(first, of), P::CLUSTER == 1 ? 0 : to);
  }
  // Where this worker finds what `from` sent.
  __device__ __forceinline__ uint32_t inbox(int from, uint32_t first, uint32_t bytes, int exchange) const {
    const int slot = from - (from > number ? 1 : 0);
    return matrix(first) + (exchange * (P::WORKERS - 1) + slot) * bytes;
  }

  template <int n>
  __device__ __forceinline__ void dump(int first, int columns, int offset, const float (&d)[n]) const {
    if (row != 0) return;
    float* to = given.dump + first + (16 * warp + (lane >> 2)) * columns + offset;
#pragma unroll
    for (int j = 0; j < n / 4; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) to[(e >> 1) * 8 * columns + column(j) + (e & 1)] = d[4 * j + e];
  }
};

// Two layers, a tile of 64 hidden values at a time: z2 = gelu(x W1 + b1) W2, this worker's part of it. While one tile's
// hidden values are being computed (`hidden`: sums without bias to four pairs a step of the next product), the products
// of the next tile and of the last one are on their way.
template <class P, class Hidden>
__device__ __forceinline__ void network(float (&z2)[32], uint32_t x, uint32_t w1, uint32_t w2, Hidden hidden) {
  float z1[P::TILES][32];
  uint32_t x2[P::TILES][4][4];
#pragma unroll
  for (int tile = 0; tile < P::TILES; ++tile) wgmma::settle(z1[tile]);
  wgmma::fence();
#pragma unroll
  for (int tile = 0; tile < P::TILES; ++tile) {
#pragma unroll
    for (int s = 0; s < 4; ++s)
      wgmma::product<false>(z1[tile], layout::along_columns(x, s), layout::along_rows(w1 + tile * layout::TILE, s), s > 0);
    wgmma::commit();
  }
#pragma unroll
  for (int tile = 0; tile < P::TILES; ++tile) {
    wgmma::wait<P::TILES - 1>();
    wgmma::settle(z1[tile]);
    hidden(tile, z1[tile], x2[tile]);
    if (tile == 0) wgmma::settle(z2);
    wgmma::fence();
#pragma unroll
    for (int s = 0; s < 4; ++s)
      wgmma::product<false>(z2, x2[tile][s], layout::along_columns(w2 + tile * layout::TILE, s), tile + s > 0);
    wgmma::commit();
  }
  wgmma::wait<0>();
  wgmma::settle(z2);
#pragma unroll
  for (int tile = 0; tile < P::TILES; ++tile) wgmma::settle(x2[tile]);
}
