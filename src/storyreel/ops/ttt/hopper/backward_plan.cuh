// How a head is dealt out in the backward pass: four workers, a warpgroup each, on a cluster of two or four.
//
// A worker owns 64 hidden values: columns of W1 and rows of W2, and of their gradients.
#pragma once
#include "plan.cuh"

namespace backward {

constexpr int WORKERS = 4, COLUMNS = HIDDEN / WORKERS;
static_assert(COLUMNS == 64, "a worker's matrices are single tiles");

// Bytes of a worker's state in the scratch memory: W1 and W2 as they lie in shared memory, b1, b2.
constexpr uint32_t WEIGHTS = 2 * layout::TILE, BIASES = 512, STATE = WEIGHTS + BIASES;

// What a launch is given; `backward_launch.py: Arguments` is its mirror. N = B * H, K = ceil(M / every).
struct Arguments {
  TensorMap q, k, v, dy;                  // bfloat16 [B, T, H, 64], axes from the last: D, T, H, B; boxes of 64 tokens
  const float* eta;                       // [B, T, H]
  const float *gamma, *beta;              // [H, 64]
  const float *w1s, *b1s, *w2s, *b2s;     // states before every `every` mini-batches, [N, K, ...] of the next
  float *dw1, *db1, *dw2, *db2;           // in and out: [N, 64, 256], [N, 256], [N, 64, 256] (transposed), [N, 64]
  __nv_bfloat16 *dq, *dk, *dv;            // [B, T, H, 64] contiguous
  float* deta;                            // [B, T, H] contiguous
  float *dgamma, *dbeta;                  // [N, WORKERS, 64]: of a worker's rows, in its multiprocessor's columns
  unsigned char *states, *slopes;         // scratch: [N, WORKERS, every, STATE] and [N, WORKERS, every, Plan::SLOPE]
  long long eta_b, eta_t, eta_h;          // strides, in elements
  int tokens, heads, every;
  float scale, eps;                       // scale: 1 / mini-batch
};
static_assert(sizeof(Arguments) == 768, "backward_launch.py writes these bytes");

template <int CLUSTER_>
struct Plan {
  static constexpr int CLUSTER = CLUSTER_, LOCAL = WORKERS / CLUSTER;
  static_assert(CLUSTER == 2 || CLUSTER == 4, "a multiprocessor has registers for two workers");
  static constexpr int THREADS = 128 * (1 + LOCAL);  // one warpgroup loads
  // What is done row by row is the same for all workers: those of a multiprocessor share it. A lane has two rows of its
  // warp's 16, eight apart; here it has one of them (the worker's number among its neighbours says which) or both.
  static constexpr int ROWS_A_LANE = 2 / LOCAL;
  // And what leaves the kernel row by row (dv, the norm's gradients) is shared by the multiprocessors, as columns: a
  // lane's pairs in those of one.
  static constexpr int SHARE = 8 / CLUSTER;
  // Bytes of what a worker keeps of a step: the standardised z2 in float16 and four floats (`Row`) of each of its rows.
  static constexpr uint32_t STANDARD = ROWS_A_LANE * 32 * 128, SLOPE = STANDARD + ROWS_A_LANE * 16 * 128;
  static constexpr int OTHER_REGISTERS = 40, WORKER_REGISTERS = 232;

  // Bytes from the start of shared memory: matrices first, for their alignment.
  static constexpr uint32_t STAGES = 2, STAGE = 2 * layout::TILE;  // k and v, or q and dy
  static constexpr uint32_t BOX = STAGES * STAGE;                  // a part of a sum from each worker
  static constexpr uint32_t OUTER = BOX + WORKERS * layout::TILE;  // p or dz2
  static constexpr uint32_t WORKER = OUTER + layout::TILE;
  // Of a worker: states of odd and of even number, gradients, and operands: x2; a, dA or dz1.
  static constexpr uint32_t G1 = 2 * WEIGHTS, G2 = G1 + layout::TILE, X2 = G2 + layout::TILE, INNER = X2 + layout::TILE;
  static constexpr uint32_t WORKER_MATRICES = INNER + layout::TILE;
  // 16 rows of dq or dk from each worker, for each warp that finishes such rows:
  static constexpr uint32_t ROWS = WORKER + LOCAL * WORKER_MATRICES, ROWS_PART = layout::TILE / 4;
  static constexpr uint32_t FLOATS = ROWS + LOCAL * WORKERS * ROWS_PART;
  // Bytes of a warp's rows that come from the other multiprocessors.
  static constexpr uint32_t FAR_BYTES = (WORKERS - LOCAL) * ROWS_PART;
  // Floats of a worker; the norm's gradients by warp:
  static constexpr uint32_t H1 = 2 * BIASES, H2 = H1 + 256, DGAMMA = H2 + 256, DBETA = DGAMMA + 4 * 256;
  static constexpr uint32_t WORKER_FLOATS = DBETA + 4 * 256;
  static constexpr uint32_t GAMMA = FLOATS + LOCAL * WORKER_FLOATS, BETA = GAMMA + 256, ETA = BETA + 256;
  // Barriers, 8 bytes each; those of parts and rows are one for each warp.
  static constexpr uint32_t FULL = ETA + STAGES * 256, EMPTY = FULL + 8 * STAGES;
  static constexpr uint32_t LOADED = EMPTY + 8 * STAGES;  // a worker's states
  static constexpr uint32_t ARRIVED = LOADED + 8 * 2 * LOCAL, FREE = ARRIVED + 8 * 4;
  static constexpr uint32_t ROWS_ARRIVED = FREE + 8 * 4, ROWS_FREE = ROWS_ARRIVED + 8 * LOCAL;
  static constexpr uint32_t BYTES = ROWS_FREE + 8 * 4;
  static_assert(WORKER_MATRICES % layout::ATOM == 0 && FLOATS % 16 == 0, "swizzled matrices begin on an atom");
  static_assert(BYTES <= 232448, "shared memory of a block on sm_90");
};

}  // namespace backward
