// The step of learning of one mini-batch: every worker takes it on its own hidden values.
#pragma once
#include "lines.cuh"

// Hidden values and slopes of GELU of z1, a tile: x2 to registers and to the matrix X2, slopes (float16) to STEP1.
template <class P>
__device__ __forceinline__ void hidden_values(const Worker<P>& own, int tile, const float (&z1)[32],
                                              uint32_t (&x2)[4][4]) {
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    uint32_t slopes[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float low, high;
      const float x = pieces::gelu_and_slope(z1[8 * s + 2 * e], low);
      const float y = pieces::gelu_and_slope(z1[8 * s + 2 * e + 1], high);
      x2[s][e] = pieces::pack(x, y);
      slopes[e] = pieces::pack_half(low, high);
    }
    ptx::store_blocks(pieces::blocks(own.matrix(P::X2), 4 * tile + s, own.warp, own.lane), x2[s]);
    ptx::store_blocks(pieces::blocks(own.matrix(P::STEP1), 4 * tile + s, own.warp, own.lane), slopes);
  }
}

// z2 of this worker's hidden values to z2 of all. Every worker rounds its part to bfloat16 and adds the parts in the
// same order, its own among them: all come to the same bits, and their copies of b2 stay equal.
template <class P>
__device__ __forceinline__ void add_parts(const Worker<P>& own, float (&z2)[32], uint32_t b2, int exchange,
                                          uint32_t parity, const uint32_t (&mine)[4][4]) {
  pieces::fill_columns(z2, b2, own.lane);
  own.receive(P::ARRIVED, exchange, parity);
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    uint32_t parts[P::WORKERS][4];
#pragma unroll
    for (int from = 0; from < P::WORKERS; ++from) {
      // Of two the order does not matter: the own one first, with no need to ask whose it is.
      const int other = P::WORKERS == 2 ? 1 - own.number : from;
      if (P::WORKERS == 2 ? from == 0 : from == own.number) {
#pragma unroll
        for (int e = 0; e < 4; ++e) parts[from][e] = mine[s][e];
      } else {
        const uint4 sent = own.received(other, P::INBOX, P::SENT, own.warp, exchange, s);
        parts[from][0] = sent.x, parts[from][1] = sent.y, parts[from][2] = sent.z, parts[from][3] = sent.w;
      }
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float2 sum = pieces::unpack(parts[0][e]);
#pragma unroll
      for (int from = 1; from < P::WORKERS; ++from) {
        const float2 pair = pieces::unpack(parts[from][e]);
        sum.x += pair.x;
        sum.y += pair.y;
      }
      z2[8 * s + 2 * e] += sum.x;
      z2[8 * s + 2 * e + 1] += sum.y;
    }
  }
}

// gamma (beta - (v - k)) of the lane's elements, and gamma of its columns.
template <class P>
__device__ __forceinline__ void load_aim(const Worker<P>& own, float (&aim)[32], float2 (&weights)[8], uint32_t k,
                                         uint32_t v) {
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    uint32_t ks[4], vs[4];
    ptx::load_blocks(ks, pieces::blocks(k, s, own.warp, own.lane));
    ptx::load_blocks(vs, pieces::blocks(v, s, own.warp, own.lane));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float2 weight = weights[2 * s + j] = ptx::load_pair(own.shared + P::GAMMA + 4 * own.column(2 * s + j));
      const float2 bias = ptx::load_pair(own.shared + P::AIM + 4 * own.column(2 * s + j));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int e = 2 * j + half;
        const float2 x = pieces::unpack(ks[e]), y = pieces::unpack(vs[e]);
        aim[8 * s + 2 * e] = fmaf(weight.x, x.x - y.x, bias.x);
        aim[8 * s + 2 * e + 1] = fmaf(weight.y, x.y - y.y, bias.y);
      }
    }
  }
}

// What z2 should move by: -eta / b times the slope of the loss, left in z2. weights: gamma of the lane's columns.
template <class P>
__device__ __forceinline__ void downhill(const Worker<P>& own, float (&z2)[32], float (&aim)[32], const float2 (&weights)[8],
                                         float2 eta) {
  const float2 inverse = pieces::standardise(z2, own.given.eps);
#pragma unroll
  for (int i = 0; i < 32; ++i) {  // the slope at the standardised z2
    const float weight = i & 1 ? weights[i / 4].y : weights[i / 4].x;
    aim[i] = fmaf(weight * weight, z2[i], aim[i]);
  }
  const float2 mean = pieces::row_means(pieces::lane_sums([&](int i) { return aim[i]; }));
  const float2 lean = pieces::row_means(pieces::lane_sums([&](int i) { return aim[i] * z2[i]; }));
  const float2 factor = make_float2(-own.given.scale * eta.x * inverse.x, -own.given.scale * eta.y * inverse.y);
  const float2 across = make_float2(-factor.x * lean.x, -factor.y * lean.y);
  const float2 level = make_float2(-factor.x * mean.x, -factor.y * mean.y);
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int e = i & 3;
    z2[i] = fmaf(pieces::of_row(factor, e), aim[i], fmaf(pieces::of_row(across, e), z2[i], pieces::of_row(level, e)));
  }
}

// `step_lines` where a worker is alone on its multiprocessor, of all rows; `push` is step2 in pairs too.
template <class P, bool DUMP>
__device__ __forceinline__ void step_rows(const Worker<P>& own, int i, float (&z2)[32], int state, uint32_t k, uint32_t v,
                                          uint32_t eta, uint32_t (&push)[4][4]) {
  const int exchange = i % P::EXCHANGES;
  uint32_t mine[4][4];
  own.expect(P::ARRIVED, exchange);
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) mine[s][e] = pieces::pack(z2[8 * s + 2 * e], z2[8 * s + 2 * e + 1]);
  own.pack(mine, P::OUTBOX, exchange);
#pragma unroll
  for (int hop = 1; hop < P::WORKERS; ++hop)
    own.send(mine, (own.number + hop) % P::WORKERS, P::INBOX, P::SENT, own.warp, P::ARRIVED, P::OUTBOX, exchange);
  float aim[32];
  float2 weights[8];
  load_aim<P>(own, aim, weights, k, v);
  const uint32_t token = 16 * own.warp + (own.lane >> 2);
  const float2 steps = make_float2(ptx::load_float(eta + 4 * token), ptx::load_float(eta + 4 * token + 32));
  own.stamp(0, i, 3);
  add_parts<P>(own, z2, own.b2(state), exchange, (i / P::EXCHANGES) & 1, mine);
  if (DUMP && i == 0 && own.number == 0) own.dump(Dump::Z2, 64, 0, z2);
  own.stamp(0, i, 4);
  downhill<P>(own, z2, aim, weights, steps);
  own.stamp(0, i, 5);
  if (DUMP && i == 0 && own.number == 0) own.dump(Dump::STEP2, 64, 0, z2);
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) push[s][e] = pieces::pack(z2[8 * s + 2 * e], z2[8 * s + 2 * e + 1]);
}

// One mini-batch, number i: the float32 weights in registers and all of state (i + 1) % STATES.
template <class P, bool DUMP, int n>
__device__ __forceinline__ void learn(const Worker<P>& own, int i, float (&w1)[n], float (&w2)[n]) {
  const int stage = i % P::STAGES, state = i % P::STATES, next = (i + 1) % P::STATES;
  const int warp = own.warp, lane = own.lane, meet = 1 + own.local;
  const uint32_t k = own.shared + P::K + stage * layout::TILE, v = own.shared + P::V + stage * layout::TILE;
  const uint32_t eta = own.shared + P::ETA + stage * 256;
  // Nothing may be sent before this: it lets the others overwrite what the outputs of mini-batch i - 2 were sent.
  if (P::APART && i >= 2) ptx::wait<false>(own.barrier(P::FREE, next), ((i - 2) >> 1) & 1);
  own.stamp(0, i, 0);

  float z2[32];
  const auto wait = [&] {
    ptx::wait<false>(own.barrier(P::KV_FULL, stage), (i / P::STAGES) & 1);
    own.stamp(0, i, 1);
  };
  network<P, P::TILES, Pace::ALL_FIRST>(own, z2, k, state, wait, [&](int tile, const float (&z1)[32], uint32_t (&x2)[4][4]) {
    if (DUMP && i == 0) own.dump(Dump::Z1, HIDDEN, own.number * P::COLUMNS + 64 * tile, z1);
    hidden_values<P>(own, tile, z1, x2);
  });
  own.stamp(0, i, 2);
  {
    uint32_t push[4][4];
    float step1[P::TILES][32];
    if constexpr (P::LINES)
      step_lines<P, DUMP>(own, i, z2, state, k, v, eta);
    else
      step_rows<P, DUMP>(own, i, z2, state, k, v, eta, push);
    const auto back = [&] {
#pragma unroll
      for (int tile = 0; tile < P::TILES; ++tile) wgmma::settle(step1[tile]);
      wgmma::fence();
#pragma unroll
      for (int tile = 0; tile < P::TILES; ++tile) {
#pragma unroll
        for (int s = 0; s < 4; ++s) {
          const uint64_t b = layout::along_rows(own.w2(state, tile), s);
          if constexpr (P::LINES)
            wgmma::product<false>(step1[tile], layout::along_columns(own.step2(), s), b, s > 0);
          else
            wgmma::product<true>(step1[tile], push[s], b, s > 0);
        }
        wgmma::commit();
      }
    };
    if constexpr (!P::LINES) {
      back();
#pragma unroll
      for (int s = 0; s < 4; ++s) ptx::store_blocks(pieces::blocks(own.step2(), s, warp, lane), push[s]);
    }
    ptx::fence_async();
    ptx::named_barrier(P::LINES ? 1 + P::LOCAL : meet, P::LINES ? 128 * P::LOCAL : 128);  // X2 and STEP2 are whole
    own.stamp(0, i, 6);
    if constexpr (P::LINES) back();
    wgmma::settle(w2);
    wgmma::fence();
#pragma unroll
    for (int s = 0; s < 4; ++s)
      wgmma::product<true>(w2, layout::along_rows(own.step2(), s), layout::along_rows(own.matrix(P::X2), s), 1);
    wgmma::commit();
#pragma unroll
    for (int tile = 0; tile < P::TILES; ++tile) {
      wgmma::wait_for_all_but(P::TILES - tile);
      wgmma::settle(step1[tile]);
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const uint32_t place = pieces::blocks(own.matrix(P::STEP1), 4 * tile + s, warp, lane);
        uint32_t x[4];
        ptx::load_blocks(x, place);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float2 slope = pieces::unpack_half(x[e]);
          step1[tile][8 * s + 2 * e] *= slope.x;
          step1[tile][8 * s + 2 * e + 1] *= slope.y;
          x[e] = pieces::pack(step1[tile][8 * s + 2 * e], step1[tile][8 * s + 2 * e + 1]);
        }
        ptx::store_blocks(place, x);
      }
      if (DUMP && i == 0) own.dump(Dump::STEP1, HIDDEN, own.number * P::COLUMNS + 64 * tile, step1[tile]);
    }
    if constexpr (!P::LINES) wgmma::settle(push);
  }
  own.stamp(0, i, 7);
  ptx::fence_async();
  ptx::named_barrier(meet, 128);  // STEP1 is whole
  own.stamp(0, i, 8);

  wgmma::settle(w1);
  wgmma::fence();
#pragma unroll
  for (int s = 0; s < 4; ++s)
    wgmma::product<true>(w1, layout::along_rows(k, s), layout::along_rows(own.matrix(P::STEP1), s), 1);
  wgmma::commit();
  pieces::ColumnSums sums[1 + P::TILES] = {{own.b2(next), own.b2(state), own.step2(), warp}};
#pragma unroll
  for (int tile = 0; tile < P::TILES; ++tile)
    sums[1 + tile] = {own.b1(next), own.b1(state), own.matrix(P::STEP1), P::TILES * warp + tile};
  pieces::add_column_sums(sums, lane);
  own.stamp(0, i, 9);
  wgmma::wait<1>();
  wgmma::settle(w2);
  pieces::store_matrix(own.w2(next), w2, warp, lane);
  wgmma::wait<0>();
  wgmma::settle(w1);
  pieces::store_matrix(own.w1(next), w1, warp, lane);
  if (DUMP && i == 0) {
    own.dump(Dump::W1, HIDDEN, own.number * P::COLUMNS, w1);
    own.dump(Dump::W2, HIDDEN, own.number * P::COLUMNS, w2);
  }
  own.stamp(0, i, 10);
  ptx::fence_async();
  ptx::named_barrier(meet, 128);  // the next state is whole
  own.stamp(0, i, 11);
  if (own.thread() == 0) {
    ptx::arrive(own.barrier(P::KV_EMPTY, stage));
    if (P::APART) ptx::arrive(own.barrier(P::READY, next));
  }
}
