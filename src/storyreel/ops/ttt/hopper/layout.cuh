// Where matrices lie in shared memory, and how wgmma is told so. Plain C++: a host compiler reads it too.
//
// Everything is made of tiles: 64 rows of 64 bfloat16, 128 bytes a row, with the 128-byte swizzle that TMA writes and
// wgmma reads: the 16-byte chunk c of row r lies where chunk c ^ (r % 8) would. A matrix [64, 64 n] is n tiles in a row.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define LAYOUT __host__ __device__ __forceinline__ constexpr
#else
#define LAYOUT inline constexpr
#endif

namespace layout {

constexpr uint32_t ROW = 128, TILE = 64 * ROW, ATOM = 8 * ROW;  // bytes; the swizzle repeats every ATOM

// Byte of the 16-byte chunk (8 columns) of a row, from the start of its tile.
LAYOUT uint32_t chunk_offset(uint32_t row, uint32_t chunk) { return row * ROW + ((chunk ^ (row & 7)) << 4); }

// The same for the chunk that begins at column 8 * chunk of a matrix [64, 64 n].
LAYOUT uint32_t matrix_offset(uint32_t row, uint32_t chunk) {
  return (chunk >> 3) * TILE + chunk_offset(row, chunk & 7);
}

// wgmma's matrix descriptor, 128-byte swizzle: bits 0-13 address, 16-29 leading offset, 32-45 stride offset, all in units
// of 16 bytes; bits 62-63 the swizzle. Tiles are ATOM-aligned, hence no base offset.
LAYOUT uint64_t descriptor(uint32_t address, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>((address & 0x3FFFF) >> 4) | static_cast<uint64_t>(leading >> 4) << 16 |
         static_cast<uint64_t>(stride >> 4) << 32 | static_cast<uint64_t>(1) << 62;
}

// Operands of one wgmma (16 values of the summed index, number `step` of them) in tiles at `address`.
//
// along_columns: the sum runs along the columns of the tiles ("K-major"); rows are the operand's M or N. A step is 32
// bytes inside the swizzled rows; 8 rows are one ATOM. Four steps are a tile, the next ones lie in the next tile.
LAYOUT uint64_t along_columns(uint32_t address, uint32_t step) {
  return descriptor(address + (step >> 2) * TILE + (step & 3) * 32, 16, ATOM);
}

// along_rows: the sum runs down the rows ("MN-major", transposed); columns are the operand's M or N, 64 a tile: the
// leading offset takes one to the next 64 columns, the stride offset to the next 8 rows. A step is 16 rows.
LAYOUT uint64_t along_rows(uint32_t address, uint32_t step) {
  return descriptor(address + step * 2 * ATOM, TILE, ATOM);
}

static_assert(chunk_offset(0, 3) == 48 && chunk_offset(9, 0) == 9 * 128 + 16, "the 128-byte swizzle");
static_assert(matrix_offset(9, 8) == TILE + 9 * 128 + 16, "tiles lie one behind the other");
static_assert(along_columns(0x2000, 5) == (0x4000000000000000ull | 64ull << 32 | 1ull << 16 | (0x4020 >> 4)), "");
static_assert(along_rows(0x2000, 3) == (0x4000000000000000ull | 64ull << 32 | 512ull << 16 | (0x3800 >> 4)), "");

}  // namespace layout
