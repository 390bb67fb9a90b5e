// TTT-MLP, backward: one cluster walks one sequence and head from end to beginning, a group of mini-batches at a time
// (README.md has the dataflow).
//
// nvcc -cubin -gencode=arch=compute_90a,code=sm_90a; `python -m storyreel.ops.ttt.hopper.build` does it.
#include "backward_walk.cuh"

namespace backward {

// Calls `item(mini_batch, question)` for each stage in the order in which the workers read them.
template <class Item>
__device__ __forceinline__ void in_order(int count, int every, Item item) {
  for (int first = (count - 1) / every * every; first >= 0; first -= every) {
    const int group = min(every, count - first);
    for (int j = 0; j < group; ++j) item(first + j, false);
    for (int j = group - 1; j >= 0; --j) {
      item(first + j, true);
      item(first + j, false);
    }
  }
}

// One warp keeps the stages filled: k, v and the 64 steps, or q and dy.
template <class P>
__device__ __forceinline__ void load(const Arguments& given, uint32_t shared, int batch, int head, int count) {
  const int lane = threadIdx.x & 31;
  const float* eta = given.eta + batch * given.eta_b + head * given.eta_h;
  uint32_t number = 0;
  in_order(count, given.every, [&](int i, bool question) {
    const uint32_t stage = number & 1, round = number >> 1, full = shared + P::FULL + 8 * stage;
    const int t = i * MINI_BATCH + 2 * lane;
    // Of tokens behind the end: 0, they teach nothing.
    const float2 steps = make_float2(!question && t < given.tokens ? eta[t * given.eta_t] : 0.f,
                                     !question && t + 1 < given.tokens ? eta[(t + 1) * given.eta_t] : 0.f);
    if (round) ptx::wait<false>(shared + P::EMPTY + 8 * stage, (round - 1) & 1);
    ptx::store_pair(shared + P::ETA + 256 * stage + 8 * lane, steps.x, steps.y);
    __syncwarp();
    if (lane == 0) {
      const uint32_t to = shared + stage * P::STAGE;
      ptx::arrive_expecting(full, P::STAGE);
      ptx::load_box(to, question ? &given.q : &given.k, full, 0, i * MINI_BATCH, head, batch);
      ptx::load_box(to + layout::TILE, question ? &given.dy : &given.v, full, 0, i * MINI_BATCH, head, batch);
    }
    ++number;
  });
}

// dq and dk of this warp's rows, from the last mini-batch to the first.
template <class P>
__device__ __forceinline__ void finish(Finisher<P> own, int count) {
  for (int i = count - 1; i >= 0; --i) {
    own.finish(own.given.dq, i);
    own.finish(own.given.dk, i);
  }
}

// A worker's columns of a matrix [64, 256] in global memory: its own thread's values.
template <class P>
__device__ __forceinline__ void read_weights(const Worker<P>& own, Values& w, const float* from) {
  from += (16 * own.warp + (own.lane >> 2)) * HIDDEN + own.number() * COLUMNS;
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 pair = *reinterpret_cast<const float2*>(from + half * 8 * HIDDEN + own.column(j));
      w[4 * j + 2 * half] = pair.x;
      w[4 * j + 2 * half + 1] = pair.y;
    }
}

template <class P>
__device__ __forceinline__ void write_weights(const Worker<P>& own, const Values& w, float* to) {
  to += (16 * own.warp + (own.lane >> 2)) * HIDDEN + own.number() * COLUMNS;
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<float2*>(to + half * 8 * HIDDEN + own.column(j)) =
          make_float2(w[4 * j + 2 * half], w[4 * j + 2 * half + 1]);
}

// Reads a group again from its kept state, `at` of all: what `question` and `walk` need of it.
template <class P>
__device__ __forceinline__ void replay_group(Worker<P>& own, long long at, int group) {
  const Arguments& given = own.given;
  const int c = own.thread();
  Values w1, w2;
  read_weights(own, w1, given.w1s + at * WIDTH * HIDDEN);
  read_weights(own, w2, given.w2s + at * WIDTH * HIDDEN);
  if (c < COLUMNS) {
    ptx::store_float(own.b1(0) + 4 * c, given.b1s[at * HIDDEN + own.number() * COLUMNS + c]);
    ptx::store_float(own.b2(0) + 4 * c, given.b2s[at * WIDTH + c]);
  }
  pieces::store_matrix(own.w1(0), w1, own.warp, own.lane);
  pieces::store_matrix(own.w2(0), w2, own.warp, own.lane);
  own.publish();
  if (own.thread() == 0 && group >= 2) store_state(own, 0);
#pragma unroll 1
  for (int j = 0; j < group; ++j) replay(own, j, group, w1, w2);
  if (own.thread() == 0) far::wait_until_stored();
}

template <class P>
__device__ __forceinline__ void work(Worker<P>& own, int count) {
  const Arguments& given = own.given;
  const int c = own.thread();
  const long long weights = static_cast<long long>(own.row) * WIDTH * HIDDEN;
  const long long kept = (count + given.every - 1) / given.every;
  float* db1 = given.db1 + own.row * HIDDEN + own.number() * COLUMNS;
  float *db2 = given.db2 + own.row * WIDTH, *dnorms[2] = {given.dgamma, given.dbeta};
  if (c < COLUMNS) {
    ptx::store_float(own.floats(P::H1) + 4 * c, db1[c]);
    ptx::store_float(own.floats(P::H2) + 4 * c, db2[c]);
    for (int i = 0; i < 2 * 4; ++i) ptx::store_float(own.floats(P::DGAMMA) + 256 * i + 4 * c, 0.f);
  }
  for (int number = static_cast<int>(kept) - 1; number >= 0; --number) {
    const int first = number * given.every, group = min(given.every, count - first);
    replay_group(own, own.row * kept + number, group);
    Values g1, g2;
    read_weights(own, g1, given.dw1 + weights);
    read_weights(own, g2, given.dw2 + weights);
#pragma unroll 1
    for (int j = group - 1; j >= 0; --j) {
      LinePairs<P> standard;
      Row rows[P::ROWS_A_LANE];
      question(own, j, g1, g2, standard, rows);
      walk(own, j, group, first + j, g1, g2, standard, rows);
    }
    write_weights(own, g1, given.dw1 + weights);
    write_weights(own, g2, given.dw2 + weights);
  }
  own.meet();
  if (c < COLUMNS) {
    db1[c] = ptx::load_float(own.floats(P::H1) + 4 * c);
    if (own.number() == 0) db2[c] = ptx::load_float(own.floats(P::H2) + 4 * c);
    for (int i = 0; i < 2; ++i) {
      float sum = 0.f;
      for (int warp = 0; warp < 4; ++warp)
        sum += ptx::load_float(own.floats(i ? P::DBETA : P::DGAMMA) + 256 * warp + 4 * c);
      dnorms[i][(own.row * WORKERS + own.number()) * WIDTH + c] = sum;
    }
  }
}

template <class P>
__device__ __forceinline__ void begin(const Arguments& given, uint32_t shared, int head) {
  if (threadIdx.x < WIDTH) {
    ptx::store_float(shared + P::GAMMA + 4 * threadIdx.x, given.gamma[head * WIDTH + threadIdx.x]);
    ptx::store_float(shared + P::BETA + 4 * threadIdx.x, given.beta[head * WIDTH + threadIdx.x]);
  }
  if (threadIdx.x == 0) {
    for (uint32_t stage = 0; stage < P::STAGES; ++stage) {
      ptx::barrier_init(shared + P::FULL + 8 * stage, 1);
      ptx::barrier_init(shared + P::EMPTY + 8 * stage, P::LOCAL);
    }
    for (int i = 0; i < 2 * P::LOCAL; ++i) ptx::barrier_init(shared + P::LOADED + 8 * i, 1);
    for (int warp = 0; warp < 4; ++warp) {
      ptx::barrier_init(shared + P::ARRIVED + 8 * warp, P::LOCAL);
      ptx::barrier_init(shared + P::FREE + 8 * warp, WORKERS);
      ptx::barrier_init(shared + P::ROWS_FREE + 8 * warp, 1);
    }
    for (int i = 0; i < P::LOCAL; ++i) ptx::barrier_init(shared + P::ROWS_ARRIVED + 8 * i, P::LOCAL + 1);
    ptx::fence_barrier_init();
    ptx::fence_async();
  }
}

template <class P>
__device__ __forceinline__ void go_back(const Arguments& given) {
  extern __shared__ __align__(1024) unsigned char memory[];
  const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(memory));
  if (shared % layout::ATOM) __trap();
  const int row = blockIdx.x / P::CLUSTER, batch = row / given.heads, head = row % given.heads;
  const int group = __shfl_sync(pieces::ALL, threadIdx.x / 128, 0);
  const int warp = (threadIdx.x / 32) % 4, lane = threadIdx.x % 32;
  const int count = (given.tokens + MINI_BATCH - 1) / MINI_BATCH;
  begin<P>(given, shared, head);
  __syncthreads();
  ptx::cluster_sync();  // no worker sends before the others' barriers are there

  const int rank = ptx::cluster_rank();
  if (group == 0) {
    if constexpr (P::LOCAL > 1) ptx::fewer_registers<P::OTHER_REGISTERS>();
    if (warp == 0) load<P>(given, shared, batch, head, count);
    if (warp > 0 && warp <= P::LOCAL) finish<P>(Finisher<P>{given, shared, rank, warp - 1, batch, head, lane}, count);
  } else {
    if constexpr (P::LOCAL > 1) ptx::more_registers<P::WORKER_REGISTERS>();
    const uint32_t far = P::CLUSTER == 2 ? ptx::at_rank(shared, 1 - rank) - shared : 0;
    Worker<P> own{given, shared, far, rank, group - 1, row, batch, head, warp, lane};
    work(own, count);
  }
  __syncwarp();
  __syncthreads();
  ptx::cluster_sync();  // no multiprocessor leaves while others may write into it
}

}  // namespace backward

#define BACKWARD(NAME, CLUSTER)                                                                                     \
  extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(backward::Plan<CLUSTER>::THREADS, 1) \
      NAME(const __grid_constant__ backward::Arguments given) {                                                     \
    backward::go_back<backward::Plan<CLUSTER>>(given);                                                              \
  }                                                                                                                 \
  extern "C" __device__ const unsigned NAME##_threads_bytes[2] = {backward::Plan<CLUSTER>::THREADS,                 \
                                                                  backward::Plan<CLUSTER>::BYTES};

BACKWARD(ttt_mlp_backward_2, 2)
BACKWARD(ttt_mlp_backward_4, 4)
