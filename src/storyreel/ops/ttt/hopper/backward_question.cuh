// Back through the outputs of a mini-batch, read with the state after its step.
#pragma once
#include "backward_replay.cuh"

namespace backward {

// The network at x, q or k: from dz2, which each lane has just stored, `dx += dz1 W1^T` and what the weights get.
// `rest`: what is added to dz1. `meanwhile`: done while products are on their way; dx is not needed before.
template <class P, class Rest, class Meanwhile>
__device__ __forceinline__ void network_backward(Worker<P>& own, uint32_t x, int state, const Pairs& bend, Values& dx,
                                                 Values& g1, Values& g2, Rest rest, Meanwhile meanwhile) {
  Pairs operand;
  Values slope;
  own.publish_to_neighbours();  // x2 and dz2
  wgmma::settle(slope);
  wgmma::fence();
  multiply<false>(slope, own.outer(), own.w2(state), false);
  wgmma::commit();
  wgmma::settle(g2);
  wgmma::fence();
  multiply<true>(g2, own.outer(), own.matrix(P::X2), true);
  wgmma::commit();
  meanwhile();
  wgmma::wait<1>();
  wgmma::settle(slope);
#pragma unroll
  for (int s = 0; s < 4; ++s)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float2 factor = pieces::unpack_half(bend[s][e]), more = rest(s, e);
      operand[s][e] = pieces::pack(fmaf(slope[8 * s + 2 * e], factor.x, more.x),
                                   fmaf(slope[8 * s + 2 * e + 1], factor.y, more.y));
    }
  wgmma::settle(dx);
  wgmma::fence();
  multiply_pairs<false>(dx, operand, own.w1(state), true);
  wgmma::commit();
  store_pairs(own, own.matrix(P::INNER), operand);
  own.publish();  // dz1
  wgmma::settle(g1);
  wgmma::fence();
  multiply<true>(g1, x, own.matrix(P::INNER), true);
  wgmma::commit();
  const pieces::ColumnSums sums[] = {{own.floats(P::H2), own.floats(P::H2), own.outer(), own.warp},
                                     {own.floats(P::H1), own.floats(P::H1), own.matrix(P::INNER), own.warp}};
  pieces::add_column_sums(sums, own.lane);
  wgmma::wait<0>();
  wgmma::settle(g1);
  wgmma::settle(g2);
  wgmma::settle(dx);
  wgmma::settle(operand);
}

// Mini-batch j of its group. `standard` and `rows` are fetched for `walk`, whose first wait they would be.
template <class P>
__device__ __forceinline__ void question(Worker<P>& own, int j, Values& g1, Values& g2, LinePairs<P>& standard,
                                         Row (&rows)[P::ROWS_A_LANE]) {
  const uint32_t q = own.stage();
  Pairs bend;
  Values z, dq;
  pieces::fill_columns(z, own.b1(j + 1), own.lane);
  own.wait_for_stage();
  wgmma::settle(z);
  wgmma::fence();
  multiply<false>(z, q, own.w1(j + 1), true);
  wgmma::commit();
  wgmma::wait<0>();
  wgmma::settle(z);
  {
    Pairs x2;
    hidden_values(own, z, x2, bend);
    wgmma::settle(z);
    wgmma::fence();
    multiply_pairs<false>(z, x2, own.w2(j + 1), false);
    wgmma::commit();
    wgmma::wait<0>();
    wgmma::settle(z);
    wgmma::settle(x2);
  }
  send_part(own, z);
  Lines<P> z2, dy;
  {
    LinePairs<P> dz2;
    add_parts(own, z2, own.b2(j + 1));
    norm_backward(own, z2, dy, dz2);
    store_lines(own, own.outer(), dz2);
  }
  network_backward(
      own, q, j + 1, bend, dq, g1, g2, [](int, int) { return make_float2(0.f, 0.f); },
      [&] {
        question_of_norm(own, z2, dy);
        begin_sum(own, dq, dy);
      });
  pieces::store_matrix(own.matrix(P::G1), g1, own.warp, own.lane);
  pieces::store_matrix(own.matrix(P::G2), g2, own.warp, own.lane);
  own.publish_to_neighbours();  // the gradients; and state j + 1 and dz2 have been read
  if (own.thread() == 0 && j > 0) load_state(own, j - 1);
  own.release_stage();
  load_slope(own, j, standard, rows);
  send_rows(own, dq);
}

}  // namespace backward
