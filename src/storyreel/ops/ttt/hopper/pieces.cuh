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

// A row's 16 values of a lane to mean 0 and variance 1 over the 64 of the row; returns what they were multiplied by.
// Row `half` of the two that the lane has: elements 4 j + 2 half and one more.
__device__ __forceinline__ float standardise(float (&z)[32], int half, float eps) {
  float sum = 0.f, squares = 0.f;
#pragma unroll
  for (int j = 0; j < 8; ++j) sum += z[4 * j + 2 * half] + z[4 * j + 2 * half + 1];
  const float mean = row_sum(sum) * (1.f / 64.f);
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float& x = z[4 * j + 2 * half + e];
      x -= mean;
      squares = fmaf(x, x, squares);
    }
  const float inverse = rsqrtf(fmaf(row_sum(squares), 1.f / 64.f, eps));
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) z[4 * j + 2 * half + e] *= inverse;
  return inverse;
}

// Where this lane's row of blocks lies for `ptx::store_blocks`: columns 16 s to 16 s + 15 of the warp's 16 rows.
__device__ __forceinline__ uint32_t blocks(uint32_t matrix, int s, int warp, int lane) {
  return matrix + layout::matrix_offset(16 * warp + (lane & 15), 2 * s + (lane >> 4));
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

// Adds the column sums of a matrix of bfloat16 with all its 64 rows to as many floats; each warp has a part of them.
template <int columns>
__device__ __forceinline__ void add_column_sums(uint32_t to, uint32_t from, uint32_t matrix, int warp, int lane) {
#pragma unroll
  for (int i = 0; i < columns / 64; ++i) {
    const int s = warp * (columns / 64) + i;
    float left[4] = {}, right[4] = {};
#pragma unroll
    for (int rows = 0; rows < 4; ++rows) {
      uint32_t x[4];
      ptx::load_blocks_transposed(x, blocks(matrix, s, rows, lane));
      ptx::add_columns(left, x[0], x[1]);
      ptx::add_columns(right, x[2], x[3]);
    }
    if (lane < 4) {
      const uint32_t at = 4 * (16 * s + 2 * lane);
      const float2 one = ptx::load_pair(from + at), two = ptx::load_pair(from + at + 32);
      ptx::store_pair(to + at, one.x + left[0], one.y + left[1]);
      ptx::store_pair(to + at + 32, two.x + right[0], two.y + right[1]);
    }
  }
}

}  // namespace pieces
