// TTT-MLP, forward: one cluster reads one sequence and head from end to end (README.md has the dataflow).
//
// nvcc -cubin -gencode=arch=compute_90a,code=sm_90a; `python -m storyreel.ops.ttt.hopper.build` does it.
#include "gradient.cuh"
#include "output.cuh"

// One warp keeps the stages filled: k, v and q by TMA, the 64 steps by its lanes, a mini-batch ahead of their use.
template <class P>
__device__ __forceinline__ void load(const Arguments& given, uint32_t shared, int batch, int head, int count) {
  const int lane = threadIdx.x & 31;
  const float* eta = given.eta + batch * given.eta_b + head * given.eta_h;
  const auto steps = [&](int i) {  // of tokens behind the end: 0, they teach nothing
    const int t = i * MINI_BATCH + 2 * lane;
    return make_float2(t < given.tokens ? eta[t * given.eta_t] : 0.f,
                       t + 1 < given.tokens ? eta[(t + 1) * given.eta_t] : 0.f);
  };
  float2 ahead = steps(0);
  for (int i = 0; i < count; ++i) {
    const int stage = i % P::STAGES;
    const uint32_t round = i / P::STAGES, kv = shared + P::KV_FULL + 8 * stage, q = shared + P::Q_FULL + 8 * stage;
    if (round) ptx::wait<false>(shared + P::KV_EMPTY + 8 * stage, (round - 1) & 1);
    ptx::store_pair(shared + P::ETA + 256 * stage + 8 * lane, ahead.x, ahead.y);
    __syncwarp();
    if (lane == 0) {
      ptx::arrive_expecting(kv, 2 * layout::TILE);
      ptx::load_box(shared + P::K + stage * layout::TILE, &given.k, kv, 0, i * MINI_BATCH, head, batch);
      ptx::load_box(shared + P::V + stage * layout::TILE, &given.v, kv, 0, i * MINI_BATCH, head, batch);
    }
    if (i + 1 < count) ahead = steps(i + 1);
    if (round) ptx::wait<false>(shared + P::Q_EMPTY + 8 * stage, (round - 1) & 1);
    if (lane == 0) {
      ptx::arrive_expecting(q, layout::TILE);
      ptx::load_box(shared + P::Q + stage * layout::TILE, &given.q, q, 0, i * MINI_BATCH, head, batch);
    }
  }
}

// A worker's columns of W1 or (transposed) W2, between registers and `[64, 256]` in global memory.
template <class P, int n>
__device__ __forceinline__ void read_weights(const Worker<P>& own, float (&w)[n], const float* from) {
  from += (16 * own.warp + (own.lane >> 2)) * HIDDEN + own.number * P::COLUMNS;
#pragma unroll
  for (int j = 0; j < n / 4; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 pair = *reinterpret_cast<const float2*>(from + half * 8 * HIDDEN + own.column(j));
      w[4 * j + 2 * half] = pair.x;
      w[4 * j + 2 * half + 1] = pair.y;
    }
}

template <class P, int n>
__device__ __forceinline__ void write_weights(const Worker<P>& own, const float (&w)[n], float* to) {
  to += (16 * own.warp + (own.lane >> 2)) * HIDDEN + own.number * P::COLUMNS;
#pragma unroll
  for (int j = 0; j < n / 4; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<float2*>(to + half * 8 * HIDDEN + own.column(j)) =
          make_float2(w[4 * j + 2 * half], w[4 * j + 2 * half + 1]);
}

template <class P, int n>
__device__ __forceinline__ void write_state(const Worker<P>& own, const float (&w1)[n], const float (&w2)[n], int state,
                                            long long at, float* w1s, float* b1s, float* w2s, float* b2s) {
  write_weights<P>(own, w1, w1s + at * WIDTH * HIDDEN);
  write_weights<P>(own, w2, w2s + at * WIDTH * HIDDEN);
  const int c = own.thread();
  if (c < P::COLUMNS) b1s[at * HIDDEN + own.number * P::COLUMNS + c] = ptx::load_float(own.b1(state) + 4 * c);
  if (own.number == 0 && c < WIDTH) b2s[at * WIDTH + c] = ptx::load_float(own.b2(state) + 4 * c);
}

template <class P, bool DUMP>
__device__ __forceinline__ void work(const Worker<P>& own, int count) {
  constexpr int n = P::COLUMNS / 2;
  const Arguments& given = own.given;
  float w1[n], w2[n];
  read_weights<P>(own, w1, given.w1 + static_cast<long long>(own.row) * WIDTH * HIDDEN);
  read_weights<P>(own, w2, given.w2 + static_cast<long long>(own.row) * WIDTH * HIDDEN);
  const int c = own.thread();
  if (c < P::COLUMNS) ptx::store_float(own.b1(0) + 4 * c, given.b1[own.row * HIDDEN + own.number * P::COLUMNS + c]);
  if (c < WIDTH) ptx::store_float(own.b2(0) + 4 * c, given.b2[own.row * WIDTH + c]);
  pieces::store_matrix(own.w1(0), w1, own.warp, own.lane);
  pieces::store_matrix(own.w2(0), w2, own.warp, own.lane);
  ptx::fence_async();
  ptx::named_barrier(1 + own.local, 128);
  const long long kept = given.every ? (count + given.every - 1) / given.every : 0;
  for (int i = 0; i < count; ++i) {
    if (given.every && i % given.every == 0)
      write_state<P>(own, w1, w2, i % P::STATES, own.row * kept + i / given.every, given.w1s, given.b1s, given.w2s,
                     given.b2s);
    learn<P, DUMP>(own, i, w1, w2);
    if (!P::APART) answer<P, DUMP>(own, i);
  }
  write_state<P>(own, w1, w2, count % P::STATES, own.row, given.w1, given.b1, given.w2, given.b2);
}

template <class P>
__device__ __forceinline__ void begin(const Arguments& given, uint32_t shared, int head) {
  if (threadIdx.x < WIDTH) {
    ptx::store_float(shared + P::GAMMA + 4 * threadIdx.x, given.gamma[head * WIDTH + threadIdx.x]);
    ptx::store_float(shared + P::BETA + 4 * threadIdx.x, given.beta[head * WIDTH + threadIdx.x]);
    ptx::store_float(shared + P::AIM + 4 * threadIdx.x,
                     given.gamma[head * WIDTH + threadIdx.x] * given.beta[head * WIDTH + threadIdx.x]);
  }
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < P::STAGES; ++stage) {
      ptx::barrier_init(shared + P::KV_FULL + 8 * stage, 1);
      ptx::barrier_init(shared + P::KV_EMPTY + 8 * stage, P::LOCAL);
      ptx::barrier_init(shared + P::Q_FULL + 8 * stage, 1);
      ptx::barrier_init(shared + P::Q_EMPTY + 8 * stage, P::APART ? 4 : 4 * P::LOCAL);
    }
    for (int state = 0; state < 2; ++state) {
      ptx::barrier_init(shared + P::READY + 8 * state, P::LOCAL);
      ptx::barrier_init(shared + P::FREE + 8 * state, 4);
    }
    constexpr int arrivals = P::WAY == Way::STORES ? P::WORKERS - 1 : 1;
    static_assert(P::WAY != Way::STORES || P::WORKERS == P::ANSWERERS, "as many send rows as parts");
    for (int box = 0; box < 4 * P::LOCAL * P::EXCHANGES; ++box) {
      ptx::barrier_init(shared + P::ARRIVED + 8 * box, arrivals);
      ptx::barrier_init(shared + P::ARRIVED_ROWS + 8 * box, arrivals);
    }
    ptx::fence_barrier_init();
    ptx::fence_async();
  }
}

template <class P, bool DUMP>
__device__ __forceinline__ void read_sequence(const Arguments& given) {
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(memory));
  if (shared % layout::ATOM) __trap();
  const int row = blockIdx.x / P::CLUSTER, batch = row / given.heads, head = row % given.heads;
  const int group = __shfl_sync(pieces::ALL, threadIdx.x / 128, 0), warp = (threadIdx.x / 32) % 4, lane = threadIdx.x % 32;
  const int count = (given.tokens + MINI_BATCH - 1) / MINI_BATCH;
  begin<P>(given, shared, head);
  __syncthreads();
  ptx::cluster_sync();  // no worker sends before the others' barriers are there

  const int rank = P::CLUSTER == 1 ? 0 : ptx::cluster_rank();
  const uint32_t far = P::CLUSTER == 2 ? ptx::at_rank(shared, 1 - rank) - shared : 0;
  if (group == 0) {
    if constexpr (P::THREADS > 256) ptx::fewer_registers<P::LOADER_REGISTERS>();
    if (warp == 0) load<P>(given, shared, batch, head, count);
  } else if (group <= P::LOCAL) {
    if constexpr (P::THREADS > 256) ptx::more_registers<P::WORKER_REGISTERS>();
    const int local = group - 1;
    work<P, DUMP>(Worker<P>{given, shared, far, P::LOCAL * rank + local, local, row, batch, head, warp, lane}, count);
  } else if constexpr (P::APART) {
    ptx::more_registers<P::OUTPUT_REGISTERS>();
    const Worker<P> own{given, shared, far, rank, 0, row, batch, head, warp, lane};  // `number` of the answerers
    for (int i = 0; i < count; ++i) answer<P, DUMP>(own, i);
  }
  __syncwarp();
  __syncthreads();
  ptx::cluster_sync();  // no multiprocessor leaves while others may write into it
}

#define FORWARD(NAME, CLUSTER, WORKERS, WAY, DUMP)                                                                       \
  extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1)                                                            \
      __launch_bounds__(Plan<CLUSTER, WORKERS, Way::WAY>::THREADS, 1) NAME(const __grid_constant__ Arguments given) {    \
    read_sequence<Plan<CLUSTER, WORKERS, Way::WAY>, DUMP>(given);                                                        \
  }                                                                                                                      \
  extern "C" __device__ const unsigned NAME##_threads_bytes[2] = {Plan<CLUSTER, WORKERS, Way::WAY>::THREADS,             \
                                                                  Plan<CLUSTER, WORKERS, Way::WAY>::BYTES};

#ifdef TTT_DUMP
constexpr bool DUMPS = true;
#else
constexpr bool DUMPS = false;
#endif

FORWARD(ttt_mlp_1, 1, 2, PACKETS, DUMPS)
FORWARD(ttt_mlp_1_stores, 1, 2, STORES, DUMPS)
FORWARD(ttt_mlp_2, 2, 2, PACKETS, DUMPS)
FORWARD(ttt_mlp_2_stores, 2, 2, STORES, DUMPS)
FORWARD(ttt_mlp_2_copies, 2, 2, COPIES, DUMPS)
FORWARD(ttt_mlp_2_of_4, 2, 4, PACKETS, DUMPS)
FORWARD(ttt_mlp_4, 4, 4, PACKETS, DUMPS)
FORWARD(ttt_mlp_4_stores, 4, 4, STORES, DUMPS)
FORWARD(ttt_mlp_4_copies, 4, 4, COPIES, DUMPS)
