// How a head is dealt out: workers, their warpgroups and their shared memory.
//
// A worker is a warpgroup that owns a part of the hidden values: columns of W1 and rows of W2. Two or four of them make a
// head, on the 1, 2 or 4 multiprocessors of a cluster. Two workers of one multiprocessor take one of each lane's two rows
// of z2 each (LINES). The outputs have a warpgroup of their own on each multiprocessor, a mini-batch behind the workers,
// with a second copy of the state (APART); in a cluster of 1 the workers make them, after each step.
#pragma once
#include <cuda_bf16.h>

#include "layout.cuh"

constexpr int WIDTH = 64, HIDDEN = 256, MINI_BATCH = 64;

struct alignas(64) TensorMap {
  uint64_t words[16];
};

// What a launch is given; `launch.py: Arguments` is its mirror. Letters as in `interface.py`, N = B * H.
struct Arguments {
  TensorMap q, k, v;                // bfloat16 [B, T, H, 64], axes from the last: D, T, H, B; boxes of 64 tokens
  const float* eta;                 // [B, T, H]
  const float *gamma, *beta;        // [H, 64]
  float *w1, *b1, *w2, *b2;         // in and out: [N, 64, 256], [N, 256], [N, 64, 256] (transposed), [N, 64]
  __nv_bfloat16* y;                 // [B, T, H, 64] contiguous
  float *w1s, *b1s, *w2s, *b2s;     // states before every `every` mini-batches, [N, ceil(M / every), ...] of these
  float* dump;                      // intermediate values of the first mini-batch of sequence and head 0 (`Dump`)
  long long eta_b, eta_t, eta_h;    // strides, in elements
  int tokens, heads, every;         // every: 0 keeps no state
  float scale, eps;                 // scale: 1 / mini-batch
};
static_assert(sizeof(Arguments) == 576, "launch.py writes these bytes");

// Floats of `dump`, one matrix of 64 rows behind the other.
struct Dump {
  static constexpr int Z1 = 0, Z2 = Z1 + 64 * 256, STEP2 = Z2 + 64 * 64, STEP1 = STEP2 + 64 * 64, W1 = STEP1 + 64 * 256,
                       W2 = W1 + 64 * 256, Z1Q = W2 + 64 * 256, Z2Q = Z1Q + 64 * 256, END = Z2Q + 64 * 64;
};

// How a warp's rows of z2 go to another worker. PACKETS: st.async, whose every 16 bytes count at a barrier. STORES: plain
// stores, then one arrival that releases them. COPIES: one bulk copy from a box of the sender's own.
enum class Way { PACKETS, STORES, COPIES };

// What `dump` holds of kernels compiled for it (TTT_TIMES): cycles, as the bits of a float, of each worker of the first
// sequence and head, of learning (0) and of the outputs (1), in mini-batches FIRST to FIRST + ROUNDS - 1.
struct Times {
  static constexpr int FIRST = 64, ROUNDS = 32, POINTS = 12;
};

template <int CLUSTER_, int WORKERS_, Way WAY_>
struct Plan {
  static constexpr int CLUSTER = CLUSTER_, WORKERS = WORKERS_;
  static constexpr Way WAY = WAY_;
  static constexpr bool APART = CLUSTER > 1;  // two workers of 128 columns take all registers of a multiprocessor
  static constexpr bool COPIES = WAY == Way::COPIES;
  static_assert(CLUSTER == 1 || CLUSTER == 2 || CLUSTER == 4, "cluster of 1, 2 or 4");

  static constexpr int LOCAL = WORKERS / CLUSTER;
  static constexpr bool LINES = LOCAL == 2;
  static_assert(LOCAL == 1 || (LINES && CLUSTER <= 2 && !COPIES), "one or two workers a multiprocessor");
  static constexpr int COLUMNS = HIDDEN / WORKERS, TILES = COLUMNS / 64;
  static constexpr int GROUPS = 1 + LOCAL + (APART ? 1 : 0), THREADS = 128 * GROUPS;  // one warpgroup loads
  static constexpr int STATES = APART ? 2 : 1, EXCHANGES = APART ? 2 : 1;
  static constexpr int STAGES = LINES || COPIES ? 2 : 3;
  // The warps begin with an equal share, rounded down to what `setmaxnreg` counts in.
  static constexpr int LOADER_REGISTERS = 24, WORKER_REGISTERS = APART && LINES ? 168 : 240;
  static constexpr int OUTPUT_REGISTERS = LINES ? 144 : 216;
  static_assert(LOADER_REGISTERS + LOCAL * WORKER_REGISTERS + (APART ? OUTPUT_REGISTERS : 0) <= 504, "65536 / 128");

  // Who makes the outputs: a warpgroup a multiprocessor, or the workers; how many warps' rows each of them finishes.
  static constexpr int ANSWERERS = APART ? CLUSTER : WORKERS, OWN_WARPS = 4 / ANSWERERS;
  // Bytes of z2, bfloat16, from one to another: of a warp, of a step, of the outputs; of half a warp's rows, of a step.
  static constexpr uint32_t SENT_WARP = 2048, SENT = 4 * SENT_WARP, SENT_ROWS = OWN_WARPS * SENT_WARP;
  static constexpr uint32_t SENT_LINES = SENT_WARP / 2, SENT_HALF = SENT / 2;

  // Bytes from the start of shared memory: matrices first, for their alignment.
  static constexpr uint32_t K = 0, V = K + STAGES * layout::TILE, Q = V + STAGES * layout::TILE;
  static constexpr uint32_t WORKER = Q + STAGES * layout::TILE;
  // Of a worker:
  static constexpr uint32_t MATRIX = TILES * layout::TILE;
  static constexpr uint32_t W1 = 0, W2 = W1 + STATES * MATRIX, X2 = W2 + STATES * MATRIX, STEP1 = X2 + MATRIX;
  static constexpr uint32_t INBOX = STEP1 + MATRIX;
  static constexpr uint32_t OUTBOX = INBOX + EXCHANGES * (WORKERS - 1) * (LINES ? SENT_HALF : SENT);  // of COPIES
  static constexpr uint32_t OUTBOX_ROWS = OUTBOX + (COPIES ? EXCHANGES * SENT : 0);
  static constexpr uint32_t INBOX_ROWS_ = OUTBOX_ROWS + (COPIES ? EXCHANGES * SENT : 0);
  static constexpr uint32_t ROWS_BYTES = EXCHANGES * (ANSWERERS - 1) * SENT_ROWS;
  static constexpr uint32_t WORKER_MATRICES = INBOX_ROWS_ + (APART && LINES ? 0 : ROWS_BYTES) + (LINES ? 0 : 2 * layout::TILE);
  // Of a worker, or of all of a multiprocessor where it has two, behind theirs; from the start of the first worker's:
  static constexpr uint32_t STEP2 = LINES ? LOCAL * WORKER_MATRICES : INBOX_ROWS_ + ROWS_BYTES;
  static constexpr uint32_t STAGING = STEP2 + layout::TILE;  // of y, where APART: else X2 has room for it
  static constexpr uint32_t INBOX_ROWS = APART && LINES ? STAGING + layout::TILE : INBOX_ROWS_;
  static constexpr uint32_t COMMON = LINES ? layout::TILE + (APART ? layout::TILE + ROWS_BYTES : 0) : 0;
  // Floats of a worker, behind all matrices:
  static constexpr uint32_t B1 = 0, B2 = B1 + STATES * COLUMNS * 4;
  static constexpr uint32_t WORKER_FLOATS = B2 + STATES * 64 * 4;
  static constexpr uint32_t FLOATS = WORKER + LOCAL * WORKER_MATRICES + COMMON;
  static constexpr uint32_t GAMMA = FLOATS + LOCAL * WORKER_FLOATS, BETA = GAMMA + 256, AIM = BETA + 256;
  static constexpr uint32_t ETA = AIM + 256;  // AIM: gamma beta
  // Barriers, 8 bytes each:
  static constexpr uint32_t KV_FULL = ETA + STAGES * 256, KV_EMPTY = KV_FULL + 8 * STAGES;
  static constexpr uint32_t Q_FULL = KV_EMPTY + 8 * STAGES, Q_EMPTY = Q_FULL + 8 * STAGES;
  static constexpr uint32_t READY = Q_EMPTY + 8 * STAGES, FREE = READY + 8 * 2;  // of the states, where APART
  static constexpr uint32_t ARRIVED = FREE + 8 * 2, ARRIVED_ROWS = ARRIVED + 8 * 4 * LOCAL * EXCHANGES;  // one a warp
  static constexpr uint32_t BYTES = ARRIVED_ROWS + 8 * 4 * LOCAL * EXCHANGES;
  static_assert(WORKER_MATRICES % layout::ATOM == 0 && STEP2 % layout::ATOM == 0, "swizzled matrices begin on an atom");
  static_assert(KV_FULL % 8 == 0, "barriers are 8 bytes");
  static_assert(BYTES <= 232448, "shared memory of a block on sm_90");
};
