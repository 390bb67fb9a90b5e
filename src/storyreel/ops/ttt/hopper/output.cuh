// The outputs of one mini-batch, read with the state after its step.
#pragma once
#include "worker.cuh"

// Mini-batch number i. Each worker finishes the rows of OWN_WARPS of its warps, and sends the others their parts.
template <class P, bool DUMP>
__device__ __forceinline__ void answer(const Worker<P>& own, int i) {
  const int stage = i % P::STAGES, state = (i + 1) % P::STATES, exchange = i % P::EXCHANGES;
  const int warp = own.warp, lane = own.lane, owner = warp / P::OWN_WARPS;
  const uint32_t q = own.shared + P::Q + stage * layout::TILE;
  own.stamp(1, i, 0);
  if (P::APART) ptx::wait<false>(own.barrier(P::READY, state), (i >> 1) & 1);

  float z2[32];
  const auto wait = [&] {
    ptx::wait<false>(own.barrier(P::Q_FULL, stage), (i / P::STAGES) & 1);
    own.stamp(1, i, 1);
  };
  constexpr int TILES = P::APART ? P::LOCAL * P::TILES : P::TILES;
  constexpr Pace PACE = !P::APART ? Pace::ALL_FIRST : P::LINES ? Pace::IN_TURN : Pace::AHEAD;
  network<P, TILES, PACE>(own, z2, q, state, wait, [&](int tile, const float (&z1)[32], uint32_t (&x2)[4][4]) {
    if (DUMP && i == 0) own.dump(Dump::Z1Q, HIDDEN, own.number * (HIDDEN / P::ANSWERERS) + 64 * tile, z1);
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        x2[s][e] = pieces::pack(pieces::gelu(z1[8 * s + 2 * e]), pieces::gelu(z1[8 * s + 2 * e + 1]));
  });
  own.stamp(1, i, 2);
  const int piece = warp % P::OWN_WARPS;  // among the warps whose rows go to one worker
  if (owner != own.number) {
    uint32_t rows[4][4];
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e) rows[s][e] = pieces::pack(z2[8 * s + 2 * e], z2[8 * s + 2 * e + 1]);
    own.pack(rows, P::OUTBOX_ROWS, exchange);
    own.send(rows, owner, P::INBOX_ROWS, P::SENT_ROWS, piece, P::ARRIVED_ROWS, P::OUTBOX_ROWS, exchange);
  } else {
    own.expect(P::ARRIVED_ROWS, exchange);
    float bias[32];
    pieces::fill_columns(bias, own.b2(state), lane);
#pragma unroll
    for (int e = 0; e < 32; ++e) z2[e] += bias[e];
  }

  if (owner == own.number) {
    own.stamp(1, i, 3);
    own.receive(P::ARRIVED_ROWS, exchange, (i / P::EXCHANGES) & 1);
    own.stamp(1, i, 4);
#pragma unroll
    for (int hop = 1; hop < P::ANSWERERS; ++hop) {
      const int from = (own.number + hop) % P::ANSWERERS;
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const uint4 sent = own.received(from, P::INBOX_ROWS, P::SENT_ROWS, piece, exchange, s);
        const uint32_t part[4] = {sent.x, sent.y, sent.z, sent.w};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float2 pair = pieces::unpack(part[e]);
          z2[8 * s + 2 * e] += pair.x;
          z2[8 * s + 2 * e + 1] += pair.y;
        }
      }
    }
    if (DUMP && i == 0) own.dump(Dump::Z2Q, 64, 0, z2);
    pieces::standardise(z2, own.given.eps);
    const uint32_t gamma = own.shared + P::GAMMA, beta = own.shared + P::BETA;
    const uint32_t staging = own.matrix(P::APART ? P::STAGING : P::X2);
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      uint32_t qs[4], ys[4];
      ptx::load_blocks(qs, pieces::blocks(q, s, warp, lane));
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const uint32_t at = 4 * own.column(2 * s + j);
        const float2 weight = ptx::load_pair(gamma + at), bias = ptx::load_pair(beta + at);
#pragma unroll
        for (int e = 2 * j; e < 2 * j + 2; ++e) {
          const float2 x = pieces::unpack(qs[e]);
          ys[e] = pieces::pack(fmaf(weight.x, z2[8 * s + 2 * e], bias.x) + x.x,
                               fmaf(weight.y, z2[8 * s + 2 * e + 1], bias.y) + x.y);
        }
      }
      ptx::store_blocks(pieces::blocks(staging, s, warp, lane), ys);
    }
    __syncwarp();
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const int line = 16 * warp + 4 * s + (lane >> 3), token = i * MINI_BATCH + line;
      const uint4 chunk = ptx::load_chunk(staging + layout::chunk_offset(line, lane & 7));
      const long long at = ((static_cast<long long>(own.batch) * own.given.tokens + token) * own.given.heads + own.head);
      if (token < own.given.tokens) *reinterpret_cast<uint4*>(own.given.y + at * WIDTH + 8 * (lane & 7)) = chunk;
    }
  }
  own.stamp(1, i, 5);
  __syncwarp();
  if (lane == 0) ptx::arrive(own.barrier(P::Q_EMPTY, stage));
  if (P::APART) {
    if (lane == 0) ptx::arrive(own.barrier(P::FREE, state));
  } else {  // no warp may run ahead and send: its inbox at the others' is free once their parts have come
    ptx::named_barrier(1 + own.local, 128);
  }
}
