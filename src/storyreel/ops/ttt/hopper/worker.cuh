// The part of a head that one worker has, and what its two steps (gradient.cuh, output.cuh) have in common.
#pragma once
#include "pieces.cuh"
#include "plan.cuh"
#include "wgmma.cuh"

// `number` among the workers of the head, `local` among those of this multiprocessor; lanes count within the warpgroup.
// Who makes outputs apart from them is number `number` of ANSWERERS, and uses the state of all workers here.
template <class P>
struct Worker {
  const Arguments& given;
  uint32_t shared, far;  // far: from here to the same place of the other multiprocessor, in a cluster of 2
  int number, local, row, batch, head, warp, lane;

  __device__ __forceinline__ int thread() const { return 32 * warp + lane; }
  __device__ __forceinline__ uint32_t matrices(int of) const { return shared + P::WORKER + of * P::WORKER_MATRICES; }
  __device__ __forceinline__ uint32_t matrix(uint32_t which) const { return matrices(local) + which; }
  __device__ __forceinline__ uint32_t floats(uint32_t which) const {
    return shared + P::FLOATS + local * P::WORKER_FLOATS + which;
  }
  __device__ __forceinline__ uint32_t step2() const { return matrices(P::LINES ? 0 : local) + P::STEP2; }
  // Tiles of 64 hidden values, counted on to the next worker of this multiprocessor.
  __device__ __forceinline__ uint32_t w1(int state, int tile = 0) const {
    return matrices(local + tile / P::TILES) + P::W1 + state * P::MATRIX + tile % P::TILES * layout::TILE;
  }
  __device__ __forceinline__ uint32_t w2(int state, int tile = 0) const { return w1(state, tile) + P::W2 - P::W1; }
  __device__ __forceinline__ uint32_t b1(int state, int tile = 0) const {
    const uint32_t own = shared + P::FLOATS + (local + tile / P::TILES) * P::WORKER_FLOATS;
    return own + P::B1 + state * P::COLUMNS * 4 + tile % P::TILES * 256;
  }
  __device__ __forceinline__ uint32_t b2(int state) const { return floats(P::B2) + state * 64 * 4; }
  __device__ __forceinline__ uint32_t barrier(uint32_t first, int number_) const { return shared + first + 8 * number_; }
  // The same place of another multiprocessor. In a cluster of 2 a sum, for `mapa` takes its time.
  __device__ __forceinline__ uint32_t away(uint32_t address, int rank) const {
    return P::CLUSTER == 2 ? address + far : ptx::at_rank(address, rank);
  }
  // A lane's first column of block j of 8 columns.
  __device__ __forceinline__ int column(int j) const { return 8 * j + 2 * (lane & 3); }

  // The barrier of ARRIVED or ARRIVED_ROWS where this warp of worker `of` of this multiprocessor waits.
  __device__ __forceinline__ uint32_t arrived(uint32_t first, int of, int exchange) const {
    return barrier(first, 4 * (of * P::EXCHANGES + exchange) + warp);
  }

  // Sends this warp's rows of z2 to the same warp of worker `to`, into its part `piece` of the box `box` of as many bytes.
  __device__ __forceinline__ void send(const uint32_t (&rows)[4][4], int to, uint32_t box, uint32_t bytes, int piece,
                                       uint32_t first, uint32_t outbox, int exchange) const {
    constexpr bool HERE = P::CLUSTER == 1;
    const int slot = number - (number > to ? 1 : 0);
    uint32_t place = matrices(HERE ? to : 0) + box + (exchange * (P::ANSWERERS - 1) + slot) * bytes + piece * P::SENT_WARP;
    uint32_t signal = arrived(first, HERE ? to : 0, exchange);
    if constexpr (!HERE) place = away(place, to), signal = away(signal, to);
    if constexpr (P::WAY == Way::PACKETS) {
#pragma unroll
      for (int s = 0; s < 4; ++s) ptx::send(place + 16 * (32 * s + lane), rows[s], signal);
    } else if constexpr (P::WAY == Way::STORES) {
#pragma unroll
      for (int s = 0; s < 4; ++s) ptx::store_there<HERE>(place + 16 * (32 * s + lane), rows[s]);
      __syncwarp();
      if (lane == 0) ptx::arrive_there<HERE>(signal);
    } else if (lane == 0) {
      ptx::copy_there(place, matrix(outbox) + exchange * P::SENT + warp * P::SENT_WARP, P::SENT_WARP, signal);
    }
  }
  // What COPIES are made of, before they are sent.
  __device__ __forceinline__ void pack(const uint32_t (&rows)[4][4], uint32_t outbox, int exchange) const {
    if constexpr (P::COPIES) {
#pragma unroll
      for (int s = 0; s < 4; ++s)
        ptx::store_chunk(matrix(outbox) + exchange * P::SENT + warp * P::SENT_WARP + 16 * (32 * s + lane), rows[s]);
      ptx::fence_async();
      __syncwarp();
    }
  }
  // Before this warp sends anything of the exchange, if others send it something: nothing else tells their bytes.
  __device__ __forceinline__ void expect(uint32_t first, int exchange) const {
    if (P::WAY != Way::STORES && lane == 0)
      ptx::arrive_expecting(arrived(first, local, exchange), (P::ANSWERERS - 1) * P::SENT_WARP);
  }
  // LINES: the parts of one of the lane's rows, as eight pairs, to the same warp of worker `there`, here or FAR.
  template <bool FAR>
  __device__ __forceinline__ void send_line(const uint32_t (&line)[8], int there, int slot, int exchange) const {
    uint32_t place = matrices(there) + P::INBOX + (exchange * (P::WORKERS - 1) + slot) * P::SENT_HALF + warp * P::SENT_LINES;
    uint32_t signal = arrived(P::ARRIVED, there, exchange);
    if constexpr (FAR) place += far, signal += far;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const uint32_t four[4] = {line[4 * c], line[4 * c + 1], line[4 * c + 2], line[4 * c + 3]};
      const uint32_t at = place + 16 * (32 * c + lane);
      if constexpr (P::WAY == Way::PACKETS)
        ptx::send(at, four, signal);
      else
        ptx::store_chunk(at, four);
    }
    if constexpr (P::WAY == Way::STORES) {
      static_assert(P::CLUSTER == 1, "plain stores stay on the multiprocessor");
      __syncwarp();
      if (lane == 0) ptx::arrive_there<true>(signal);
    }
  }
  __device__ __forceinline__ void expect_lines(int exchange) const {
    if (P::WAY == Way::PACKETS && lane == 0)
      ptx::arrive_expecting(arrived(P::ARRIVED, local, exchange), (P::WORKERS - 1) * P::SENT_LINES);
  }
  // Pairs of columns 32 c to 32 c + 31 of the lane's line.
  __device__ __forceinline__ uint4 received_line(int slot, int exchange, int c) const {
    const uint32_t place = matrix(P::INBOX) + (exchange * (P::WORKERS - 1) + slot) * P::SENT_HALF + warp * P::SENT_LINES;
    return ptx::load_chunk(place + 16 * (32 * c + lane));
  }
  // Waits for all of it.
  __device__ __forceinline__ void receive(uint32_t first, int exchange, uint32_t parity) const {
    ptx::wait<P::CLUSTER != 1 && P::WAY == Way::STORES>(arrived(first, local, exchange), parity);
  }
  // Pairs of values that worker `from` sent to this lane.
  __device__ __forceinline__ uint4 received(int from, uint32_t box, uint32_t bytes, int piece, int exchange, int s) const {
    const int slot = from - (from > number ? 1 : 0);
    const uint32_t place = matrix(box) + (exchange * (P::ANSWERERS - 1) + slot) * bytes + piece * P::SENT_WARP;
    return ptx::load_chunk(place + 16 * (32 * s + lane));
  }

  // Notes the time, for `Times`.
  __device__ __forceinline__ void stamp(int role, int i, int point) const {
#ifdef TTT_TIMES
    if (row != 0 || thread() != 0 || i < Times::FIRST || i >= Times::FIRST + Times::ROUNDS) return;
    const int at = ((number * 2 + role) * Times::ROUNDS + i - Times::FIRST) * Times::POINTS + point;
    given.dump[at] = __uint_as_float(ptx::clock());
#endif
  }

  __device__ __forceinline__ void dump_line(int first, int columns, const float (&d)[16]) const {
    if (row != 0) return;
    float* to = given.dump + first + (16 * warp + 8 * local + (lane >> 2)) * columns;
#pragma unroll
    for (int c = 0; c < 16; ++c) to[column(c / 2) + (c & 1)] = d[c];
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

// How `network` goes about its tiles, which is a matter of registers: with few of them left, the values of a tile are made
// one by one, each for as long as a tanh takes.
enum class Pace {
  AHEAD,      // the first layer of all tiles at once, the second of each as soon as it may
  ALL_FIRST,  // the first layer of all tiles at once, then the second: of a thread that holds the state too
  IN_TURN     // one tile after the other
};

// Two layers of TILES tiles of 64 hidden values: z2 = gelu(x W1 + b1) W2, the part of it that they give. `wait`: for x, which
// the biases need not wait for. `hidden`: from sums of the first layer to four pairs a step of the next product.
template <class P, int TILES, Pace PACE, class Wait, class Hidden>
__device__ __forceinline__ void network(const Worker<P>& own, float (&z2)[32], uint32_t x, int state, Wait wait,
                                        Hidden hidden) {
  constexpr int AT_ONCE = PACE == Pace::IN_TURN ? 1 : TILES;
  float z1[AT_ONCE][32];
  uint32_t x2[TILES][4][4];
  // A fence comes before products that read registers of which ordinary code made any; one for all that go at once.
  const auto first_layer = [&](int tile) {
#pragma unroll
    for (int s = 0; s < 4; ++s)
      wgmma::product<false>(z1[tile % AT_ONCE], layout::along_columns(x, s), layout::along_rows(own.w1(state, tile), s), 1);
    wgmma::commit();
  };
  const auto second_layer = [&](int tile) {
#pragma unroll
    for (int s = 0; s < 4; ++s)
      wgmma::product<false>(z2, x2[tile][s], layout::along_columns(own.w2(state, tile), s), tile + s > 0);
    wgmma::commit();
  };
#pragma unroll
  for (int tile = 0; tile < AT_ONCE; ++tile) pieces::fill_columns(z1[tile], own.b1(state, tile), own.lane);
  wait();
#pragma unroll
  for (int tile = 0; tile < AT_ONCE; ++tile) wgmma::settle(z1[tile]);
  wgmma::fence();
#pragma unroll
  for (int tile = 0; tile < AT_ONCE; ++tile) first_layer(tile);
#pragma unroll
  for (int tile = 0; tile < TILES; ++tile) {
    wgmma::wait_for_all_but(PACE == Pace::AHEAD ? TILES - 1 : AT_ONCE == 1 ? 0 : TILES - 1 - tile);
    wgmma::settle(z1[tile % AT_ONCE]);
    hidden(tile, z1[tile % AT_ONCE], x2[tile]);
    if (PACE == Pace::ALL_FIRST) continue;
    const bool again = AT_ONCE == 1 && tile + 1 < TILES;
    if (again) pieces::fill_columns(z1[0], own.b1(state, tile + 1), own.lane);
    if (tile == 0) wgmma::settle(z2);
    if (again) wgmma::settle(z1[0]);
    wgmma::fence();
    second_layer(tile);
    if (again) first_layer(tile + 1);
  }
  if (PACE == Pace::ALL_FIRST) {
    wgmma::settle(z2);
    wgmma::fence();
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) second_layer(tile);
  }
  wgmma::wait<0>();
  wgmma::settle(z2);
#pragma unroll
  for (int tile = 0; tile < TILES; ++tile) wgmma::settle(x2[tile]);
}
