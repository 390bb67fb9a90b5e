// A mini-batch's step of learning once more, and what the way back needs of it.
#pragma once
#include "backward_slope.cuh"

namespace backward {

template <class P>
__device__ __forceinline__ void store_slope(const Worker<P>& own, int j, const LinePairs<P>& standard,
                                            const Row (&rows)[P::ROWS_A_LANE]) {
  unsigned char* to = own.kept_slope(j);
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    const uint32_t* x = standard[i];
    reinterpret_cast<uint4*>(to)[256 * i + own.thread()] = uint4{x[0], x[1], x[2], x[3]};
    reinterpret_cast<uint4*>(to)[256 * i + 128 + own.thread()] = uint4{x[4], x[5], x[6], x[7]};
    reinterpret_cast<Row*>(to + P::STANDARD)[128 * i + own.thread()] = rows[i];
  }
}

template <class P>
__device__ __forceinline__ void load_slope(const Worker<P>& own, int j, LinePairs<P>& standard,
                                           Row (&rows)[P::ROWS_A_LANE]) {
  const unsigned char* from = own.kept_slope(j);
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    uint32_t* x = standard[i];
    const uint4 left = reinterpret_cast<const uint4*>(from)[256 * i + own.thread()];
    const uint4 right = reinterpret_cast<const uint4*>(from)[256 * i + 128 + own.thread()];
    x[0] = left.x, x[1] = left.y, x[2] = left.z, x[3] = left.w;
    x[4] = right.x, x[5] = right.y, x[6] = right.z, x[7] = right.w;
    rows[i] = reinterpret_cast<const Row*>(from + P::STANDARD)[128 * i + own.thread()];
  }
}

// To the scratch memory, by one thread, after `publish`.
template <class P>
__device__ __forceinline__ void store_state(const Worker<P>& own, int j) {
  far::store_bytes(own.kept_state(j), own.w1(j), WEIGHTS);
  far::store_bytes(own.kept_state(j) + WEIGHTS, own.b1(j), BIASES);
}

// Back from there, over the state after next, by the thread that stored them.
template <class P>
__device__ __forceinline__ void load_state(const Worker<P>& own, int j) {
  const uint32_t barrier = own.barrier(P::LOADED, 2 * own.local + (j & 1));
  ptx::arrive_expecting(barrier, STATE);
  far::load_bytes(own.w1(j), own.kept_state(j), WEIGHTS, barrier);
  far::load_bytes(own.b1(j), own.kept_state(j) + WEIGHTS, BIASES, barrier);
}

// Mini-batch j of the group of `group`: from state j, in shared memory and (w1, w2) in registers, to state j + 1.
template <class P>
__device__ __forceinline__ void replay(Worker<P>& own, int j, int group, Values& w1, Values& w2) {
  const uint32_t k = own.stage();
  Pairs bend, operand;
  Values z;
  pieces::fill_columns(z, own.b1(j), own.lane);
  own.wait_for_stage();
  wgmma::settle(z);
  wgmma::fence();
  multiply<false>(z, k, own.w1(j), true);
  wgmma::commit();
  wgmma::wait<0>();
  wgmma::settle(z);
  hidden_values(own, z, operand, bend);
  wgmma::settle(z);
  wgmma::fence();
  multiply_pairs<false>(z, operand, own.w2(j), false);
  wgmma::commit();
  wgmma::wait<0>();
  wgmma::settle(z);
  wgmma::settle(operand);
  send_part(own, z);
  {
    Lines<P> z2;
    LinePairs<P> standard, p;
    Row rows[P::ROWS_A_LANE];
    add_parts(own, z2, own.b2(j));
#pragma unroll
    for (int i = 0; i < P::ROWS_A_LANE; ++i) {
      rows[i].inverse = pieces::standardise(z2[i], own.given.eps);
#pragma unroll
      for (int c = 0; c < 8; ++c) standard[i][c] = pieces::pack_half(z2[i][2 * c], z2[i][2 * c + 1]);
    }
    downhill(own, standard, rows, p);
    store_lines(own, own.outer(), p);
    store_slope(own, j, standard, rows);
  }
  if (own.thread() == 0) far::wait_until_stored();  // state j - 1, where state j + 1 is about to go
  own.publish_to_neighbours();                      // x2 and p
  wgmma::settle(z);
  wgmma::fence();
  multiply<false>(z, own.outer(), own.w2(j), false);
  wgmma::commit();
  wgmma::settle(w2);
  wgmma::fence();
  multiply<true>(w2, own.outer(), own.matrix(P::X2), true);
  wgmma::commit();
  wgmma::wait<1>();
  wgmma::settle(z);
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float2 slope = pieces::unpack_half(bend[s][e]);
      operand[s][e] = pieces::pack(z[8 * s + 2 * e] * slope.x, z[8 * s + 2 * e + 1] * slope.y);
    }
  store_pairs(own, own.matrix(P::INNER), operand);
  own.publish();  // a
  wgmma::settle(w1);
  wgmma::fence();
  multiply<true>(w1, k, own.matrix(P::INNER), true);
  wgmma::commit();
  const pieces::ColumnSums sums[] = {{own.b2(j + 1), own.b2(j), own.outer(), own.warp},
                                     {own.b1(j + 1), own.b1(j), own.matrix(P::INNER), own.warp}};
  pieces::add_column_sums(sums, own.lane);
  wgmma::wait<1>();
  wgmma::settle(w2);
  pieces::store_matrix(own.w2(j + 1), w2, own.warp, own.lane);
  wgmma::wait<0>();
  wgmma::settle(w1);
  pieces::store_matrix(own.w1(j + 1), w1, own.warp, own.lane);
  own.publish();  // the next state
  own.release_stage();
  if (own.thread() == 0 && j + 1 <= group - 2) store_state(own, j + 1);  // the last two stay where they are
}

}  // namespace backward
