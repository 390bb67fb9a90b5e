// What is done row by row: the norm, the slope of the inner loss, and the way back through both. Lanes have the rows of
// `Lines`.
#pragma once
#include "backward_rows.cuh"

namespace backward {

// Of a row: what z2 was multiplied by; mean(g s), mean(g) and f of the README.
struct alignas(16) Row {
  float inverse, along, level, factor;

  // u, for a value of gamma err and of s.
  __device__ __forceinline__ float across(float g, float s) const { return fmaf(-along, s, g - level); }
};

// Mean over the 64 values of a row.
__device__ __forceinline__ float row_mean(float lane_sum) { return pieces::row_sum(lane_sum) * (1.f / 64.f); }

// err = gamma s + beta - (v - k) of the i-th row, pair j, with k and v of the stage.
template <class P>
struct Errors {
  LinePairs<P> k, v;

  __device__ __forceinline__ explicit Errors(const Worker<P>& own) {
    load_lines(own, k, own.stage());
    load_lines(own, v, own.stage() + layout::TILE);
  }
  __device__ __forceinline__ float2 at(const Worker<P>& own, int i, int j, float2 gamma, float2 s) const {
    return of(own, j, gamma, s, k[i][j], v[i][j]);
  }
  static __device__ __forceinline__ float2 of(const Worker<P>& own, int j, float2 gamma, float2 s, uint32_t keys,
                                              uint32_t values) {
    const float2 beta = own.vector(own.shared + P::BETA, j), key = pieces::unpack(keys), value = pieces::unpack(values);
    return make_float2(fmaf(gamma.x, s.x, beta.x) - (value.x - key.x), fmaf(gamma.y, s.y, beta.y) - (value.y - key.y));
  }
};

// p = f u in bfloat16, and all of `rows` but `inverse`, which is given.
template <class P>
__device__ __forceinline__ void downhill(const Worker<P>& own, const LinePairs<P>& standard,
                                         Row (&rows)[P::ROWS_A_LANE], LinePairs<P>& p) {
  const Errors<P> errors(own);
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    Row& row = rows[i];
    float g[16], along[16];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 gamma = own.vector(own.shared + P::GAMMA, j), s = pieces::unpack_half(standard[i][j]);
      const float2 error = errors.at(own, i, j, gamma, s);
      g[2 * j] = gamma.x * error.x;
      g[2 * j + 1] = gamma.y * error.y;
      along[2 * j] = g[2 * j] * s.x;
      along[2 * j + 1] = g[2 * j + 1] * s.y;
    }
    row.level = row_mean(pieces::line_sum([&](int c) { return g[c]; }));
    row.along = row_mean(pieces::line_sum([&](int c) { return along[c]; }));
    const int line = 16 * own.warp + 8 * own.half(i) + (own.lane >> 2);
    row.factor = -own.given.scale * ptx::load_float(own.eta() + 4 * line) * row.inverse;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 s = pieces::unpack_half(standard[i][j]);
      p[i][j] = pieces::pack(row.factor * row.across(g[2 * j], s.x), row.factor * row.across(g[2 * j + 1], s.y));
    }
  }
}

// The same p again, of known rows, and u in bfloat16.
template <class P>
__device__ __forceinline__ void downhill_again(const Worker<P>& own, const LinePairs<P>& standard,
                                               const Row (&rows)[P::ROWS_A_LANE], LinePairs<P>& p,
                                               LinePairs<P>& across) {
  const Errors<P> errors(own);
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i)
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const Row& row = rows[i];
      const float2 gamma = own.vector(own.shared + P::GAMMA, j), s = pieces::unpack_half(standard[i][j]);
      const float2 error = errors.at(own, i, j, gamma, s);
      const float low = row.across(gamma.x * error.x, s.x), high = row.across(gamma.y * error.y, s.y);
      p[i][j] = pieces::pack(row.factor * low, row.factor * high);
      across[i][j] = pieces::pack(low, high);
    }
}

// The beginning of dq or dk, which is a sum over the workers: `lines` in the rows that this worker has of those that
// its multiprocessor finishes, else 0.
template <class P>
__device__ __forceinline__ void begin_sum(const Worker<P>& own, Values& sum, const Lines<P>& lines) {
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool has = own.near() && (P::LOCAL == 1 || half == own.local);
        sum[4 * j + 2 * half + e] = has ? lines[P::LOCAL == 1 ? half : 0][2 * j + e] : 0.f;
      }
}

// What of a lane's row is in the columns of its multiprocessor.
template <class P, class Value, int n>
__device__ __forceinline__ void take_share(const Worker<P>& own, Value (&share)[n / P::CLUSTER],
                                           const Value (&line)[n]) {
#pragma unroll
  for (int c = 0; c < n / P::CLUSTER; ++c) {
    Value value = line[c];
#pragma unroll
    for (int rank = 1; rank < P::CLUSTER; ++rank) {
      const Value other = line[rank * (n / P::CLUSTER) + c];
      value = own.rank == rank ? other : value;
    }
    share[c] = value;
  }
}

// Adds to the gradient of the norm (each warp has its own floats) what the lanes have of their rows, a share each.
template <class P>
__device__ __forceinline__ void add_to_norm(const Worker<P>& own, uint32_t which,
                                            const float (&x)[P::ROWS_A_LANE][2 * P::SHARE]) {
#pragma unroll
  for (int s = 0; s < P::SHARE / 2; ++s) {
    float sums[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sums[e] = x[0][4 * s + e];
#pragma unroll
      for (int i = 1; i < P::ROWS_A_LANE; ++i) sums[e] += x[i][4 * s + e];
    }
    add_rows(own, own.floats(which) + 256 * own.warp, own.rank * (P::SHARE / 2) + s, sums);
  }
}

// z is standardised, and dz2 in bfloat16 found from it and dy, which is that of the stage.
template <class P>
__device__ __forceinline__ void norm_backward(const Worker<P>& own, Lines<P>& z, Lines<P>& dy, LinePairs<P>& dz2) {
  {
    LinePairs<P> pairs;
    load_lines(own, pairs, own.stage() + layout::TILE);
#pragma unroll
    for (int i = 0; i < P::ROWS_A_LANE; ++i)
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const float2 pair = pieces::unpack(pairs[i][j]);
        dy[i][2 * j] = pair.x;
        dy[i][2 * j + 1] = pair.y;
      }
  }
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    float slope[16];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 gamma = own.vector(own.shared + P::GAMMA, j);
      slope[2 * j] = gamma.x * dy[i][2 * j];
      slope[2 * j + 1] = gamma.y * dy[i][2 * j + 1];
    }
    const float inverse = pieces::standardise(z[i], own.given.eps);
    const float level = row_mean(pieces::line_sum([&](int c) { return slope[c]; }));
    const float lean = row_mean(pieces::line_sum([&](int c) { return slope[c] * z[i][c]; }));
#pragma unroll
    for (int j = 0; j < 8; ++j)
      dz2[i][j] = pieces::pack(inverse * fmaf(-z[i][2 * j], lean, slope[2 * j] - level),
                               inverse * fmaf(-z[i][2 * j + 1], lean, slope[2 * j + 1] - level));
  }
}

// The norm's gradients from the question.
template <class P>
__device__ __forceinline__ void question_of_norm(const Worker<P>& own, const Lines<P>& standard, const Lines<P>& dy) {
  float dgamma[P::ROWS_A_LANE][2 * P::SHARE], dbeta[P::ROWS_A_LANE][2 * P::SHARE];
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    take_share(own, dbeta[i], dy[i]);
    take_share(own, dgamma[i], standard[i]);
#pragma unroll
    for (int c = 0; c < 2 * P::SHARE; ++c) dgamma[i][c] *= dbeta[i][c];
  }
  add_to_norm(own, P::DGAMMA, dgamma);
  add_to_norm(own, P::DBETA, dbeta);
}

// dp to dz2 in bfloat16, and deta; dp becomes dg.
template <class P>
__device__ __forceinline__ void slope_backward(const Worker<P>& own, Lines<P>& dp, const LinePairs<P>& standard,
                                               const LinePairs<P>& across, const Row (&rows)[P::ROWS_A_LANE],
                                               LinePairs<P>& dz2, int mini_batch) {
  const uint32_t gammas = own.shared + P::GAMMA;
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    const Row& row = rows[i];
    float2 us[8], ss[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) us[j] = pieces::unpack(across[i][j]), ss[j] = pieces::unpack_half(standard[i][j]);
    const auto u = [&](int c) { return c & 1 ? us[c / 2].y : us[c / 2].x; };
    const auto s = [&](int c) { return c & 1 ? ss[c / 2].y : ss[c / 2].x; };
    const float level = row_mean(pieces::line_sum([&](int c) { return dp[i][c]; }));
    float lean = row_mean(pieces::line_sum([&](int c) { return dp[i][c] * s(c); }));
    const float turn = row_mean(pieces::line_sum([&](int c) { return dp[i][c] * u(c); }));
    float squares[16];  // gamma^2 dg
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 gamma = own.vector(gammas, j);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int c = 2 * j + e;
        const float weight = e ? gamma.y : gamma.x;
        dp[i][c] = row.factor * fmaf(-s(c), lean, dp[i][c] - level);  // dg
        squares[c] = weight * weight * dp[i][c];
      }
    }
    const float mean = row_mean(pieces::line_sum([&](int c) { return squares[c]; }));
    const float sway = fmaf(row.factor, turn, row_mean(pieces::line_sum([&](int c) { return squares[c] * s(c); })));
    lean *= row.factor;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float moved[2];
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int c = 2 * j + e;
        const float more = fmaf(s(c), sway, fmaf(lean, u(c), mean));
        moved[e] = row.inverse * (fmaf(-row.along, dp[i][c], squares[c]) - more);
      }
      dz2[i][j] = pieces::pack(moved[0], moved[1]);
    }
    const int token = own.token(mini_batch, own.half(i));
    if (own.near() && (own.lane & 3) == 0 && token < own.given.tokens)
      own.given.deta[(static_cast<long long>(own.batch) * own.given.tokens + token) * own.given.heads + own.head] =
          -turn * (64.f * own.given.scale) * row.inverse;
  }
}

// dv and the norm's gradients from dg, which becomes the gradient of the error.
template <class P>
__device__ __forceinline__ void error_backward(const Worker<P>& own, Lines<P>& dg, const LinePairs<P>& standard,
                                               int mini_batch) {
  const Errors<P> errors(own);
  const Destination destination(own.given, own.batch, own.head, own.warp, own.lane, own.given.dv, mini_batch);
  float dgamma[P::ROWS_A_LANE][2 * P::SHARE], dbeta[P::ROWS_A_LANE][2 * P::SHARE];
#pragma unroll
  for (int i = 0; i < P::ROWS_A_LANE; ++i) {
    uint32_t standards[P::SHARE], keys[P::SHARE], values[P::SHARE];
    take_share(own, dgamma[i], dg[i]);
    take_share(own, standards, standard[i]);
    take_share(own, keys, errors.k[i]);
    take_share(own, values, errors.v[i]);
#pragma unroll
    for (int c = 0; c < P::SHARE; ++c) {
      const int j = own.rank * P::SHARE + c;
      const float2 gamma = own.vector(own.shared + P::GAMMA, j), s = pieces::unpack_half(standards[c]);
      const float2 error = errors.of(own, j, gamma, s, keys[c], values[c]);
      float &low = dgamma[i][2 * c], &high = dgamma[i][2 * c + 1];
      dbeta[i][2 * c] = gamma.x * low;
      dbeta[i][2 * c + 1] = gamma.y * high;
      destination.write(own.half(i), j, pieces::pack(-gamma.x * low, -gamma.y * high));
      low *= fmaf(gamma.x, s.x, error.x);
      high *= fmaf(gamma.y, s.y, error.y);
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float2 gamma = own.vector(own.shared + P::GAMMA, j);
      dg[i][2 * j] *= gamma.x;
      dg[i][2 * j + 1] *= gamma.y;
    }
  }
  add_to_norm(own, P::DGAMMA, dgamma);
  add_to_norm(own, P::DBETA, dbeta);
}

}  // namespace backward
