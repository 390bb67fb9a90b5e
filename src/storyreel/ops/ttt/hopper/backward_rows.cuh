// Rows that leave the kernel: where they go, and the sums over the workers (dq and dk) that are finished beside them.
#pragma once
#include "backward_worker.cuh"

namespace backward {

// A lane's two rows of a mini-batch in global memory; pairs of bfloat16 in the columns of `Worker::column(j)`. `warp`: whose
// 16 rows.
struct Destination {
  uint32_t* rows[2];
  bool inside[2];

  __device__ __forceinline__ Destination(const Arguments& given, int batch, int head, int warp, int lane,
                                         __nv_bfloat16* to, int mini_batch) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = mini_batch * MINI_BATCH + 16 * warp + 8 * half + (lane >> 2);
      const long long at = (static_cast<long long>(batch) * given.tokens + token) * given.heads + head;
      rows[half] = reinterpret_cast<uint32_t*>(to + at * WIDTH + 2 * (lane & 3));
      inside[half] = token < given.tokens;
    }
  }
  __device__ __forceinline__ void write(int half, int j, uint32_t pair) const {
    if (half ? inside[1] : inside[0]) (half ? rows[1] : rows[0])[4 * j] = pair;
  }
};

// A sum over the workers that leaves the kernel: this worker's part of a warp's rows, to the warp that finishes them.
template <class P>
__device__ __forceinline__ void send_rows(Worker<P>& own, const Values& part) {
  const int finisher = own.warp % P::LOCAL, there = own.warp / P::LOCAL;
  if (own.finished) ptx::wait<false>(own.barrier(P::ROWS_FREE, own.warp), (own.finished - 1) & 1);
  const uint32_t place = own.shared + P::ROWS + (finisher * WORKERS + own.number()) * P::ROWS_PART + 16 * own.lane;
  const uint32_t signal = own.barrier(P::ROWS_ARRIVED, finisher);
  Pairs pairs;
  pack(pairs, part);
  if (there == own.rank) {
#pragma unroll
    for (int s = 0; s < 4; ++s) far::store_chunk(place + 512 * s, pairs[s]);
    __syncwarp();
    if (own.lane == 0) ptx::arrive(signal);
  } else {
    const uint32_t far_place = own.away(place, there), far_signal = own.away(signal, there);
#pragma unroll
    for (int s = 0; s < 4; ++s) ptx::send(far_place + 512 * s, pairs[s], far_signal);
  }
  ++own.finished;
}

// Who does that: warps beside the one that loads, so that no worker waits for rows that nobody else needs.
template <class P>
struct Finisher {
  const Arguments& given;
  uint32_t shared;
  int rank, number, batch, head, lane;  // number: among those of this multiprocessor
  uint32_t finished = 0;

  // The next rows to be finished, of a mini-batch.
  __device__ __forceinline__ void finish(__nv_bfloat16* to, int mini_batch) {
    const uint32_t arrived = shared + P::ROWS_ARRIVED + 8 * number;
    if (lane == 0) ptx::arrive_expecting(arrived, P::FAR_BYTES);
    ptx::wait<false>(arrived, finished & 1);
    const int warp = rank * P::LOCAL + number;
    const Destination destination(given, batch, head, warp, lane, to, mini_batch);
    const uint32_t place = shared + P::ROWS + number * WORKERS * P::ROWS_PART + 16 * lane;
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      float2 sums[4];
#pragma unroll
      for (int worker = 0; worker < WORKERS; ++worker) {
        const uint4 chunk = ptx::load_chunk(place + worker * P::ROWS_PART + 512 * s);
        const uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float2 pair = pieces::unpack(pairs[e]);
          sums[e] = worker ? make_float2(sums[e].x + pair.x, sums[e].y + pair.y) : pair;
        }
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) destination.write(e & 1, 2 * s + (e >> 1), pieces::pack(sums[e].x, sums[e].y));
    }
    __syncwarp();
    if (lane == 0) {
      const uint32_t free = shared + P::ROWS_FREE + 8 * warp;
      ptx::arrive(free);
#pragma unroll
      for (int hop = 1; hop < P::CLUSTER; ++hop) far::arrive(ptx::at_rank(free, (rank + hop) % P::CLUSTER));
    }
    ++finished;
  }
};

}  // namespace backward
