// What a warpgroup does with values in its registers; rows and columns are dealt out as wgmma.cuh says.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>

#include "layout.cuh"
#include "ptx.cuh"

namespace pieces {

constexpr float SLOPE = 0.7978845608028654f, CUBIC = 0.044715f;  // sqrt(2 / pi); the tanh form of GELU
constexpr unsigned ALL = 0xFFFFFFFFu;

__device__ __forceinline__ uint32_t pack(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &both, 4);
  return bits;
}

__device__ __forceinline__ float2 unpack(uint32_t both) {
  return make_float2(__uint_as_float(both << 16), __uint_as_float(both & 0xFFFF0000u));
}

__device__ __forceinline__ uint32_t pack_half(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &both, 4);
  return bits;
}

__device__ __forceinline__ float2 unpack_half(uint32_t bits) {
  __half2 both;
  memcpy(&both, &bits, 4);
  return __half22float2(both);
}

// (1 + tanh u) / 2, and z times it is GELU.
__device__ __forceinline__ float gate(float z, float square) {
  return fmaf(ptx::tanh(z * fmaf(square, SLOPE * CUBIC, SLOPE)), 0.5f, 0.5f);
}

__device__ __forceinline__ float gelu(float z) { return z * gate(z, z * z); }

__device__ __forceinline__ float gelu_and_slope(float z, float& slope) {
  const float square = z * z, part = gate(z, square), x = z * part;
  slope = fmaf(fmaf(-x, part, x), fmaf(square, 6.f * SLOPE * CUBIC, 2.f * SLOPE), part);
  return x;
}

// Sum over the four lanes that share a row.
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(ALL, x, 1);
  return x + __shfl_xor_sync(ALL, x, 2);
}

// Sums of the lane's values in each of its two rows: elements 4 j + 2 half and one more are of row `half`. In four chains a
// row: one of 16 sums would be most of what a norm takes.
template <class Value>
__device__ __forceinline__ float2 lane_sums(Value value) {
  float part[2][4];
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int chain = 2 * (j & 1) + (e & 1);
      float& sum = part[e >> 1][chain];
      sum = j < 2 ? value(4 * j + e) : sum + value(4 * j + e);
    }
  return make_float2((part[0][0] + part[0][1]) + (part[0][2] + part[0][3]),
                     (part[1][0] + part[1][1]) + (part[1][2] + part[1][3]));
}

// Means over the 64 values of the lane's two rows.
__device__ __forceinline__ float2 row_means(float2 x) {
  return make_float2(row_sum(x.x) * (1.f / 64.f), row_sum(x.y) * (1.f / 64.f));
}

// Sum of 16 values in four chains, for the same reason.
template <class Value>
__device__ __forceinline__ float line_sum(Value value) {
  float part[4];
#pragma unroll
  for (int i = 0; i < 16; ++i) part[i & 3] = i < 4 ? value(i) : part[i & 3] + value(i);
  return (part[0] + part[1]) + (part[2] + part[3]);
}

__device__ __forceinline__ float of_row(float2 x, int e) { return e >> 1 ? x.y : x.x; }

// The lane's two rows to mean 0 and variance 1; returns what they were multiplied by.
__device__ __forceinline__ float2 standardise(float (&z)[32], float eps) {
  const float2 mean = row_means(lane_sums([&](int i) { return z[i]; }));
#pragma unroll
  for (int i = 0; i < 32; ++i) z[i] -= of_row(mean, i & 3);
  const float2 variance = row_means(lane_sums([&](int i) { return z[i] * z[i]; }));
  const float2 inverse = make_float2(rsqrtf(variance.x + eps), rsqrtf(variance.y + eps));
#pragma unroll
  for (int i = 0; i < 32; ++i) z[i] *= of_row(inverse, i & 3);
  return inverse;
}

// One row of a lane, its 16 values, the same.
__device__ __forceinline__ float standardise(float (&z)[16], float eps) {
  const float mean = row_sum(line_sum([&](int c) { return z[c]; })) * (1.f / 64.f);
#pragma unroll
  for (int c = 0; c < 16; ++c) z[c] -= mean;
  const float variance = row_sum(line_sum([&](int c) { return z[c] * z[c]; })) * (1.f / 64.f);
  const float inverse = rsqrtf(variance + eps);
#pragma unroll
  for (int c = 0; c < 16; ++c) z[c] *= inverse;
  return inverse;
}

// A vector of 64 floats along the columns of sums [64, 64], as products begin with it.
__device__ __forceinline__ void fill_columns(float (&d)[32], uint32_t floats, int lane) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 pair = ptx::load_pair(floats + 4 * (8 * j + 2 * (lane & 3)));
    d[4 * j] = d[4 * j + 2] = pair.x;
    d[4 * j + 1] = d[4 * j + 3] = pair.y;
  }
}

// Where this lane's row of blocks lies for `ptx::store_blocks`: columns 16 s to 16 s + 15 of the warp's 16 rows.
__device__ __forceinline__ uint32_t blocks(uint32_t matrix, int s, int warp, int lane) {
  return matrix + layout::matrix_offset(16 * warp + (lane & 15), 2 * s + (lane >> 4));
}

// The same for one of the lane's two rows, columns 32 c to 32 c + 31 of a tile: x[i] is in column 8 (4 c + i).
__device__ __forceinline__ uint32_t line_blocks(uint32_t tile, int half, int c, int warp, int lane) {
  return tile + layout::chunk_offset(16 * warp + 8 * half + (lane & 7), 4 * c + (lane >> 3));
}

// Sums [64, 2 n] in float32 to a matrix of bfloat16 in shared memory.
template <int n>
__device__ __forceinline__ void store_matrix(uint32_t matrix, const float (&d)[n], int warp, int lane) {
#pragma unroll
  for (int s = 0; s < n / 8; ++s) {
    const float* x = d + 8 * s;
    const uint32_t four[4] = {pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7])};
    ptx::store_blocks(blocks(matrix, s, warp, lane), four);
  }
}

// Columns 16 s to 16 s + 15 of a matrix of bfloat16, and the 16 floats that their sums over its 64 rows are added to.
struct ColumnSums {
  uint32_t to, from, matrix;
  int s;
};

// Several of them at once, by one warp: their chains of products are short, and wait for each other if alone.
template <int n>
__device__ __forceinline__ void add_column_sums(const ColumnSums (&all)[n], int lane) {
  float left[n][4] = {}, right[n][4] = {};
#pragma unroll
  for (int rows = 0; rows < 4; ++rows)
#pragma unroll
    for (int i = 0; i < n; ++i) {
      uint32_t x[4];
      ptx::load_blocks_transposed(x, blocks(all[i].matrix, all[i].s, rows, lane));
      ptx::add_columns(left[i], x[0], x[1]);
      ptx::add_columns(right[i], x[2], x[3]);
    }
  float2 one[n], two[n];
#pragma unroll
  for (int i = 0; i < n; ++i) {
    const uint32_t at = all[i].from + 4 * (16 * all[i].s + 2 * (lane & 3));
    one[i] = ptx::load_pair(at), two[i] = ptx::load_pair(at + 32);
  }
  if (lane < 4) {
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const uint32_t at = all[i].to + 4 * (16 * all[i].s + 2 * lane);
      ptx::store_pair(at, one[i].x + left[i][0], one[i].y + left[i][1]);
      ptx::store_pair(at + 32, two[i].x + right[i][0], two[i].y + right[i][1]);
    }
  }
}

}  // namespace pieces
