// Back through the step of learning of a mini-batch, and the network at k that it began with.
#pragma once
#include "backward_question.cuh"

namespace backward {

// gelu''(z), and gelu' by way of `slope`; `x` is gelu(z).
__device__ __forceinline__ float gelu_and_two_slopes(float z, float& slope, float& second) {
  constexpr float cubic = pieces::SLOPE * pieces::CUBIC;
  const float square = z * z, part = pieces::gate(z, square), x = z * part;
  const float w = fmaf(square, 6.f * cubic, 2.f * pieces::SLOPE), across = fmaf(-part, part, part);
  slope = fmaf(z * across, w, part);
  second = across * fmaf(w, fmaf(z * fmaf(-2.f, part, 1.f), w, 2.f), 12.f * cubic * square);
  return x;
}

// Mini-batch j of the group of `group`, `mini_batch` of the sequence.
template <class P>
__device__ __forceinline__ void walk(Worker<P>& own, int j, int group, int mini_batch, Values& g1, Values& g2,
                                     const LinePairs<P>& standard, const Row (&rows)[P::ROWS_A_LANE]) {
  const uint32_t k = own.stage();
  LinePairs<P> across;  // u
  Pairs bend, rest, push;  // push: a
  own.wait_for_stage();
  if (j <= group - 2) {
    ptx::wait<false>(own.barrier(P::LOADED, 2 * own.local + (j & 1)), (own.loads >> (j & 1)) & 1);
    own.loads ^= 1u << (j & 1);
  }
  {
    Values second, da, dp;
    pieces::fill_columns(second, own.b1(j), own.lane);
    pieces::fill_columns(da, own.floats(P::H1), own.lane);
    wgmma::settle(second);
    wgmma::settle(da);
    wgmma::fence();
    multiply<false>(second, k, own.w1(j), true);
    wgmma::commit();
    multiply<false>(da, k, own.matrix(P::G1), true);
    wgmma::commit();
    {
      LinePairs<P> p;
      downhill_again(own, standard, rows, p, across);
      store_lines(own, own.outer(), p);
    }
    wgmma::wait<1>();
    wgmma::settle(second);
    Pairs x2, before;
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float &low = second[8 * s + 2 * e], &high = second[8 * s + 2 * e + 1], left, right;
        const float x = gelu_and_two_slopes(low, left, low);
        const float y = gelu_and_two_slopes(high, right, high);
        x2[s][e] = pieces::pack(x, y);
        bend[s][e] = pieces::pack_half(left, right);
      }
    store_pairs(own, own.matrix(P::X2), x2);
    wgmma::wait<0>();
    wgmma::settle(da);
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float2 slope = pieces::unpack_half(bend[s][e]);
        const float low = da[8 * s + 2 * e], high = da[8 * s + 2 * e + 1];
        before[s][e] = pieces::pack(low * slope.x, high * slope.y);
        second[8 * s + 2 * e] *= low;
        second[8 * s + 2 * e + 1] *= high;
      }
    wgmma::settle(dp);
    wgmma::fence();
    multiply_pairs<false>(dp, x2, own.matrix(P::G2), false);
    multiply_pairs<false>(dp, before, own.w2(j), true);
    wgmma::commit();
    store_pairs(own, own.matrix(P::INNER), before);
    own.publish_to_neighbours();  // x2, p and dA
    wgmma::wait<0>();
    wgmma::settle(dp);
    wgmma::settle(x2);
    wgmma::settle(before);
    send_part(own, dp);

    // While the parts are on their way: a, and what reaches z1 through the step.
    wgmma::settle(da);
    wgmma::settle(g2);
    wgmma::fence();
    multiply<false>(da, own.outer(), own.w2(j), false);
    wgmma::commit();
    multiply<true>(g2, own.outer(), own.matrix(P::INNER), true);
    wgmma::commit();
    wgmma::wait<1>();
    wgmma::settle(da);
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float2 slope = pieces::unpack_half(bend[s][e]);
        const float low = da[8 * s + 2 * e], high = da[8 * s + 2 * e + 1];
        push[s][e] = pieces::pack(low * slope.x, high * slope.y);
        second[8 * s + 2 * e] *= low;
        second[8 * s + 2 * e + 1] *= high;
      }
    wgmma::settle(da);
    wgmma::fence();
    multiply<false>(da, own.outer(), own.matrix(P::G2), false);
    wgmma::commit();
    wgmma::wait<0>();
    wgmma::settle(da);
    wgmma::settle(g2);
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float2 slope = pieces::unpack_half(bend[s][e]);
        rest[s][e] = pieces::pack(fmaf(da[8 * s + 2 * e], slope.x, second[8 * s + 2 * e]),
                                  fmaf(da[8 * s + 2 * e + 1], slope.y, second[8 * s + 2 * e + 1]));
      }
  }
  own.meet_neighbours();  // p and dA have been read
  Values dk;
  Lines<P> dp;
  {
    LinePairs<P> dz2;
    add_parts(own, dp, own.floats(P::H2));
    slope_backward(own, dp, standard, across, rows, dz2, mini_batch);
    store_lines(own, own.outer(), dz2);
  }
  network_backward(
      own, k, j, bend, dk, g1, g2, [&](int s, int e) { return pieces::unpack(rest[s][e]); },
      [&] {
        error_backward(own, dp, standard, mini_batch);
        begin_sum(own, dk, dp);
        wgmma::settle(dk);
        wgmma::fence();
        multiply_pairs<false>(dk, push, own.matrix(P::G1), true);
        wgmma::commit();
      });
  wgmma::settle(push);
  own.meet();  // all operands have been read
  own.release_stage();
  send_rows(own, dk);
}

}  // namespace backward
