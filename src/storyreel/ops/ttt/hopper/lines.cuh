// From a worker's part of z2 to step2 where two workers share a multiprocessor: each has one of a lane's two rows (LINES).
#pragma once
#include "worker.cuh"

// One of a lane's two rows: its eight pairs.
__device__ __forceinline__ void take_line(uint32_t (&line)[8], const uint32_t (&both)[4][4], int half) {
#pragma unroll
  for (int j = 0; j < 8; ++j) line[j] = half ? both[j / 2][2 * (j % 2) + 1] : both[j / 2][2 * (j % 2)];
}

// This worker's part of z2, to the others, and `mine`, its own line of it.
template <class P>
__device__ __forceinline__ void send_lines(const Worker<P>& own, const float (&z2)[32], int exchange, uint32_t (&mine)[8]) {
  uint32_t both[4][4], other[8];
  own.expect_lines(exchange);
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) both[s][e] = pieces::pack(z2[8 * s + 2 * e], z2[8 * s + 2 * e + 1]);
  take_line(mine, both, own.local);
  take_line(other, both, 1 - own.local);
  if constexpr (P::CLUSTER == 2) {
    own.template send_line<true>(mine, own.local, 1, exchange);
    own.template send_line<true>(other, 1 - own.local, 2, exchange);
  }
  own.template send_line<false>(other, 1 - own.local, 0, exchange);
}

// The line of z2 (bias given) from all parts. Each multiprocessor's two are added first, which gives all of them the same
// bits: neither sum depends on its order.
template <class P>
__device__ __forceinline__ void add_lines(const Worker<P>& own, float (&z2)[16], int exchange, uint32_t parity,
                                          const uint32_t (&mine)[8]) {
  own.receive(P::ARRIVED, exchange, parity);
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    uint32_t parts[P::WORKERS - 1][4];
#pragma unroll
    for (int slot = 0; slot < P::WORKERS - 1; ++slot) {
      const uint4 sent = own.received_line(slot, exchange, c);
      parts[slot][0] = sent.x, parts[slot][1] = sent.y, parts[slot][2] = sent.z, parts[slot][3] = sent.w;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float2 one = pieces::unpack(mine[4 * c + e]), two = pieces::unpack(parts[0][e]);
      float2 sum = make_float2(one.x + two.x, one.y + two.y);
      if constexpr (P::WORKERS == 4) {
        const float2 three = pieces::unpack(parts[1][e]), four = pieces::unpack(parts[2][e]);
        sum.x += three.x + four.x;
        sum.y += three.y + four.y;
      }
      z2[8 * c + 2 * e] += sum.x;
      z2[8 * c + 2 * e + 1] += sum.y;
    }
  }
}

// `load_aim` and `downhill` of one line.
template <class P>
__device__ __forceinline__ void load_aim_line(const Worker<P>& own, float (&aim)[16], float2 (&weights)[8], uint32_t k,
                                              uint32_t v) {
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    uint32_t ks[4], vs[4];
    ptx::load_blocks(ks, pieces::line_blocks(k, own.local, c, own.warp, own.lane));
    ptx::load_blocks(vs, pieces::line_blocks(v, own.local, c, own.warp, own.lane));
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int j = 4 * c + e;
      const float2 weight = weights[j] = ptx::load_pair(own.shared + P::GAMMA + 4 * own.column(j));
      const float2 bias = ptx::load_pair(own.shared + P::AIM + 4 * own.column(j));
      const float2 x = pieces::unpack(ks[e]), y = pieces::unpack(vs[e]);
      aim[2 * j] = fmaf(weight.x, x.x - y.x, bias.x);
      aim[2 * j + 1] = fmaf(weight.y, x.y - y.y, bias.y);
    }
  }
}

template <class P>
__device__ __forceinline__ void downhill_line(const Worker<P>& own, float (&z2)[16], float (&aim)[16],
                                              const float2 (&weights)[8], float eta) {
  const float inverse = pieces::standardise(z2, own.given.eps);
#pragma unroll
  for (int c = 0; c < 16; ++c) {
    const float weight = c & 1 ? weights[c / 2].y : weights[c / 2].x;
    aim[c] = fmaf(weight * weight, z2[c], aim[c]);
  }
  const float mean = pieces::row_sum(pieces::line_sum([&](int c) { return aim[c]; })) * (1.f / 64.f);
  const float lean = pieces::row_sum(pieces::line_sum([&](int c) { return aim[c] * z2[c]; })) * (1.f / 64.f);
  const float factor = -own.given.scale * eta * inverse, across = -factor * lean, level = -factor * mean;
#pragma unroll
  for (int c = 0; c < 16; ++c) z2[c] = fmaf(factor, aim[c], fmaf(across, z2[c], level));
}

// From this worker's part of z2 to step2 in its tile, of this worker's lines.
template <class P, bool DUMP>
__device__ __forceinline__ void step_lines(const Worker<P>& own, int i, const float (&part)[32], int state, uint32_t k,
                                           uint32_t v, uint32_t eta) {
  const int exchange = i % P::EXCHANGES;
  uint32_t mine[8];
  float z2[16], aim[16];
  float2 weights[8];
  send_lines<P>(own, part, exchange, mine);
  load_aim_line<P>(own, aim, weights, k, v);
  const float step = ptx::load_float(eta + 4 * (16 * own.warp + 8 * own.local + (own.lane >> 2)));
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 bias = ptx::load_pair(own.b2(state) + 4 * own.column(j));
    z2[2 * j] = bias.x, z2[2 * j + 1] = bias.y;
  }
  own.stamp(0, i, 3);
  add_lines<P>(own, z2, exchange, (i / P::EXCHANGES) & 1, mine);
  if (DUMP && i == 0 && own.number < P::LOCAL) own.dump_line(Dump::Z2, 64, z2);
  own.stamp(0, i, 4);
  downhill_line<P>(own, z2, aim, weights, step);
  own.stamp(0, i, 5);
  if (DUMP && i == 0 && own.number < P::LOCAL) own.dump_line(Dump::STEP2, 64, z2);
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    const float* x = z2 + 8 * c;
    const uint32_t four[4] = {pieces::pack(x[0], x[1]), pieces::pack(x[2], x[3]), pieces::pack(x[4], x[5]),
                              pieces::pack(x[6], x[7])};
    ptx::store_blocks(pieces::line_blocks(own.step2(), own.local, c, own.warp, own.lane), four);
  }
}
