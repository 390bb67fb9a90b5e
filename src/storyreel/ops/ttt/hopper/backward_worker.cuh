// A worker of the backward pass, what it exchanges with the others, and its products.
#pragma once
#include "backward_plan.cuh"
#include "far.cuh"
#include "pieces.cuh"
#include "wgmma.cuh"

namespace backward {

using Pairs = uint32_t[4][4];  // a thread's 32 values in pairs of 16 bits: [s][e] are values 8 s + 2 e and one more
using Values = float[32];
template <class P>
using Lines = float[P::ROWS_A_LANE][16];  // a lane's part of its rows: [i][2 j] is in column 8 j + 2 (lane % 4)
template <class P>
using LinePairs = uint32_t[P::ROWS_A_LANE][8];  // the same in pairs of 16 bits

// `number` among the workers of the head, `local` among those of this multiprocessor; lanes count within the warpgroup.
// The counters are of what has been done so far: stages read, sums over the workers, rows finished.
template <class P>
struct Worker {
  const Arguments& given;
  uint32_t shared, far;  // far: from here to the same place of the other multiprocessor, in a cluster of 2
  int rank, local, row, batch, head, warp, lane;
  uint32_t stages = 0, sums = 0, finished = 0, loads = 0;  // loads: a bit for each of the two states, the next parity

  __device__ __forceinline__ int number() const { return rank * P::LOCAL + local; }
  __device__ __forceinline__ int thread() const { return 32 * warp + lane; }
  // Whether a worker of this multiprocessor finishes the rows of this warp; which of the lane's two rows is its i-th.
  __device__ __forceinline__ bool near() const { return warp / P::LOCAL == rank; }
  __device__ __forceinline__ int half(int i) const { return P::LOCAL == 1 ? i : local; }
  __device__ __forceinline__ uint32_t outer() const { return shared + P::OUTER; }
  __device__ __forceinline__ uint32_t matrix(uint32_t which) const {
    return shared + P::WORKER + local * P::WORKER_MATRICES + which;
  }
  __device__ __forceinline__ uint32_t floats(uint32_t which) const {
    return shared + P::FLOATS + local * P::WORKER_FLOATS + which;
  }
  __device__ __forceinline__ uint32_t w1(int state) const { return matrix((state & 1) * WEIGHTS); }
  __device__ __forceinline__ uint32_t w2(int state) const { return w1(state) + layout::TILE; }
  __device__ __forceinline__ uint32_t b1(int state) const { return floats((state & 1) * BIASES); }
  __device__ __forceinline__ uint32_t b2(int state) const { return b1(state) + 256; }
  __device__ __forceinline__ uint32_t barrier(uint32_t first, int which) const { return shared + first + 8 * which; }
  // The same place of another multiprocessor; a sum where there is one alone, for `mapa` takes its time.
  __device__ __forceinline__ uint32_t away(uint32_t address, int rank_) const {
    return P::CLUSTER == 2 ? address + far : ptx::at_rank(address, rank_);
  }
  // A lane's first column of block j of 8 columns.
  __device__ __forceinline__ int column(int j) const { return 8 * j + 2 * (lane & 3); }
  __device__ __forceinline__ float2 vector(uint32_t floats, int j) const {
    return ptx::load_pair(floats + 4 * column(j));
  }
  __device__ __forceinline__ uint32_t blocks(uint32_t tile, int s) const { return pieces::blocks(tile, s, warp, lane); }
  // The same for the lane's i-th row of lines, columns 32 c to 32 c + 31.
  __device__ __forceinline__ uint32_t line_blocks(uint32_t tile, int i, int c) const {
    return pieces::line_blocks(tile, half(i), c, warp, lane);
  }
  __device__ __forceinline__ int token(int mini_batch, int half) const {
    return mini_batch * MINI_BATCH + 16 * warp + 8 * half + (lane >> 2);
  }
  __device__ __forceinline__ void meet() const { ptx::named_barrier(1 + local, 128); }
  __device__ __forceinline__ void meet_neighbours() const { ptx::named_barrier(1 + P::LOCAL, 128 * P::LOCAL); }
  // What this thread wrote may be read by products, and what the others wrote too.
  __device__ __forceinline__ void publish() const {
    ptx::fence_async();
    meet();
  }
  __device__ __forceinline__ void publish_to_neighbours() const {
    ptx::fence_async();
    meet_neighbours();
  }

  // The two tiles of the next stage, and their steps.
  __device__ __forceinline__ uint32_t stage() const { return shared + (stages & 1) * P::STAGE; }
  __device__ __forceinline__ uint32_t eta() const { return shared + P::ETA + (stages & 1) * 256; }
  __device__ __forceinline__ void wait_for_stage() const {
    ptx::wait<false>(barrier(P::FULL, stages & 1), (stages >> 1) & 1);
  }
  // After a barrier behind the last use.
  __device__ __forceinline__ void release_stage() {
    if (thread() == 0) ptx::arrive(barrier(P::EMPTY, stages & 1));
    ++stages;
  }

  __device__ __forceinline__ unsigned char* kept_state(int j) const {
    return given.states + (static_cast<long long>(row * WORKERS + number()) * given.every + j) * STATE;
  }
  __device__ __forceinline__ unsigned char* kept_slope(int j) const {
    return given.slopes + (static_cast<long long>(row * WORKERS + number()) * given.every + j) * P::SLOPE;
  }
};

// Arrives at a barrier of every multiprocessor of the cluster, for its warp: it has read what they may now overwrite.
template <class P>
__device__ __forceinline__ void tell_all(const Worker<P>& own, uint32_t barrier) {
  __syncwarp();
  if (own.lane != 0) return;
  ptx::arrive(barrier);
#pragma unroll
  for (int hop = 1; hop < P::CLUSTER; ++hop) far::arrive(own.away(barrier, (own.rank + hop) % P::CLUSTER));
}

__device__ __forceinline__ void pack(Pairs& to, const Values& from) {
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) to[s][e] = pieces::pack(from[8 * s + 2 * e], from[8 * s + 2 * e + 1]);
}

template <class P>
__device__ __forceinline__ void store_pairs(const Worker<P>& own, uint32_t tile, const Pairs& x) {
#pragma unroll
  for (int s = 0; s < 4; ++s) ptx::store_blocks(own.blocks(tile, s), x[s]);
}

template <class P>
__device__ __forceinline__ void load_lines(const Worker<P>& own, LinePairs<P>& x, uint32_t tile) {
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      uint32_t four[4];
      ptx::load_blocks(four, own.line_blocks(tile, i, c));
#pragma unroll
      for (int j = 0; j < 4; ++j) x[i][4 * c + j] = four[j];
    }
}

template <class P>
__device__ __forceinline__ void store_lines(const Worker<P>& own, uint32_t tile, const LinePairs<P>& x) {
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const uint32_t four[4] = {x[i][4 * c], x[i][4 * c + 1], x[i][4 * c + 2], x[i][4 * c + 3]};
      ptx::store_blocks(own.line_blocks(tile, i, c), four);
    }
}

// A sum over the workers, first half: this worker's part in bfloat16 to every multiprocessor of the cluster. The barrier
// counts the bytes of the others and the arrivals of the workers here.
template <class P>
__device__ __forceinline__ void send_part(const Worker<P>& own, const Values& part) {
  if (own.sums) ptx::wait<false>(own.barrier(P::FREE, own.warp), (own.sums - 1) & 1);
  const uint32_t to = own.shared + P::BOX + own.number() * layout::TILE + 16 * own.thread();
  const uint32_t signal = own.barrier(P::ARRIVED, own.warp);
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      uint32_t four[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float* pair = part + 4 * (4 * c + j) + 2 * half;
        four[j] = pieces::pack(pair[0], pair[1]);
      }
      const uint32_t place = to + 2048 * (2 * half + c);
#pragma unroll
      for (int hop = 1; hop < P::CLUSTER; ++hop) {
        const int there = (own.rank + hop) % P::CLUSTER;
        ptx::send(own.away(place, there), four, own.away(signal, there));
      }
      far::store_chunk(place, four);
    }
  __syncwarp();
  if (own.lane != 0) return;
  if (own.local == 0)
    ptx::arrive_expecting(signal, P::FAR_BYTES);
  else
    ptx::arrive(signal);
}

// Second half: the parts in the order of the workers, so that all come to the same bits, and 64 floats for each row.
template <class P>
__device__ __forceinline__ void add_parts(Worker<P>& own, Lines<P>& sum, uint32_t bias) {
  ptx::wait<false>(own.barrier(P::ARRIVED, own.warp), own.sums & 1);
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const uint32_t from = own.shared + P::BOX + 16 * own.thread() + 2048 * (2 * own.half(i) + c);
      float* line = sum[i] + 8 * c;
#pragma unroll
      for (int worker = 0; worker < WORKERS; ++worker) {
        const uint4 chunk = ptx::load_chunk(from + worker * layout::TILE);
        const uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const float2 pair = pieces::unpack(pairs[j]);
          const float2 before = worker ? make_float2(line[2 * j], line[2 * j + 1]) : own.vector(bias, 4 * c + j);
          line[2 * j] = before.x + pair.x;
          line[2 * j + 1] = before.y + pair.y;
        }
      }
    }
  tell_all(own, own.barrier(P::FREE, own.warp));
  ++own.sums;
}

// Adds sums over a warp's lanes to 64 floats in shared memory: of group s of 16 columns, x are the lane's own of its
// columns 2 (lane % 4), one more, and both 8 further on.
template <class P>
__device__ __forceinline__ void add_rows(const Worker<P>& own, uint32_t to, int s, const float (&x)[4]) {
  const bool right = own.lane & 16, odd = own.lane & 8;
  float even_sum = right ? x[2] : x[0], odd_sum = right ? x[3] : x[1];
  even_sum += __shfl_xor_sync(pieces::ALL, right ? x[0] : x[2], 16);
  odd_sum += __shfl_xor_sync(pieces::ALL, right ? x[1] : x[3], 16);
  float sum = odd ? odd_sum : even_sum;
  sum += __shfl_xor_sync(pieces::ALL, odd ? even_sum : odd_sum, 8);
  sum += __shfl_xor_sync(pieces::ALL, sum, 4);
  const uint32_t place = to + 4 * (16 * s + 8 * (right ? 1 : 0) + 2 * (own.lane & 3) + (odd ? 1 : 0));
  if (!(own.lane & 4)) ptx::store_float(place, ptx::load_float(place) + sum);
}

// d = a b or d += a b over 64 summed values, to be committed. b is a tile; a too, or pairs in registers. ROWS as in
// wgmma.cuh: of a where it is a tile (b is summed along its rows then), else of b.
template <bool ROWS>
__device__ __forceinline__ void multiply(Values& d, uint32_t a, uint32_t b, bool add) {
#pragma unroll
  for (int s = 0; s < 4; ++s)
    wgmma::product<ROWS>(d, ROWS ? layout::along_rows(a, s) : layout::along_columns(a, s), layout::along_rows(b, s),
                         add || s > 0);
}

template <bool ROWS>
__device__ __forceinline__ void multiply_pairs(Values& d, const Pairs& a, uint32_t b, bool add) {
#pragma unroll
  for (int s = 0; s < 4; ++s)
    wgmma::product<ROWS>(d, a[s], ROWS ? layout::along_rows(b, s) : layout::along_columns(b, s), add || s > 0);
}

// x2 = gelu(z1) in bfloat16, to registers and to its tile; its slope in float16.
template <class P>
__device__ __forceinline__ void hidden_values(const Worker<P>& own, const Values& z1, Pairs& x2, Pairs& bend) {
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      float low, high;
      const float x = pieces::gelu_and_slope(z1[8 * s + 2 * e], low);
      const float y = pieces::gelu_and_slope(z1[8 * s + 2 * e + 1], high);
      x2[s][e] = pieces::pack(x, y);
      bend[s][e] = pieces::pack_half(low, high);
    }
  store_pairs(own, own.matrix(P::X2), x2);
}

}  // namespace backward
