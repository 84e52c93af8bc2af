// Up to six further levels of the pyramid from one, level k + 1 = rint(mean over 2 x 2 of level k).
//
// A block has a tile of 64 x 64 pixels of the level it starts from, and needs no other: tiles of a power of two, laid
// from the corner, hold whole cells of all six levels. Grid (ceil(x / 64), ceil(y / 64), frames), block (256).

constexpr int HALVE_THREADS = 256;
constexpr int TILE = 64;

// rint(mean of four), halves to even. Where a row or column is missing, its neighbour stands for it: a pixel averaged
// with itself gives the same quotient and the same halves.
__device__ inline u16 quarter(u32 total) { return u16((total + 1 + (total >> 2 & 1u)) >> 2); }

template <int SIDE>
__device__ inline void halve_tile(const u16 (&from)[SIDE][SIDE], int height, int width, u16* to, int stride, u16* kept) {
    constexpr int NEXT = SIDE / 2;
    for (int i = threadIdx.x; i < NEXT * NEXT; i += HALVE_THREADS) {
        const int y = i / NEXT, x = i % NEXT;
        if (2 * y >= height || 2 * x >= width) continue;
        const int below = shorter(2 * y + 1, height - 1), right = shorter(2 * x + 1, width - 1);
        const u32 upper = u32(from[2 * y][2 * x]) + from[2 * y][right];
        const u32 lower = u32(from[below][2 * x]) + from[below][right];
        kept[i] = to[s64(y) * stride + x] = quarter(upper + lower);
    }
}

// Halves the tile, then hands the result on to itself with half the side, until `levels` are made.
template <int SIDE>
__device__ inline void halve_down(u16* shared, u16* spare, int height, int width, int tile_y, int tile_x, u16* level,
                                  int lines, int columns, int places, int place, int levels) {
    if constexpr (SIDE > 1) {
        if (levels == 0) return;
        constexpr int NEXT = SIDE / 2;
        const int next_lines = halved(lines), next_columns = halved(columns);
        u16* next = level + s64(places) * lines * columns;
        u16* plane = next + s64(place) * next_lines * next_columns;
        halve_tile<SIDE>(*reinterpret_cast<u16(*)[SIDE][SIDE]>(shared), height, width,
                         plane + s64(tile_y) * NEXT * next_columns + tile_x * NEXT, next_columns, spare);
        __syncthreads();
        halve_down<NEXT>(spare, shared, halved(height), halved(width), tile_y, tile_x, next, next_lines, next_columns,
                         places, place, levels - 1);
    }
}

// `level` is the level to start from, (places, lines, columns); the further ones follow it in memory, (places, y, x)
// each.
__global__ void __launch_bounds__(HALVE_THREADS)
halve_levels(const int* place, u16* level, int places, int lines, int columns, int levels) {
    __shared__ __align__(16) u16 tile[TILE * TILE];
    __shared__ u16 spare[TILE / 2 * TILE / 2];
    const int top = blockIdx.y * TILE, left = blockIdx.x * TILE, slot = place[blockIdx.z];
    const int height = shorter(TILE, lines - top), width = shorter(TILE, columns - left);
    const u16* from = level + s64(slot) * lines * columns + s64(top) * columns + left;
    const bool words = columns % SPAN == 0 && reinterpret_cast<u64>(level) % sizeof(uint4) == 0;
    for (int i = threadIdx.x; i < TILE * TILE / SPAN; i += HALVE_THREADS) {
        const int y = i / (TILE / SPAN), x = i % (TILE / SPAN) * SPAN, valid = shorter(SPAN, width - x);
        if (y < height && valid > 0)
            *reinterpret_cast<uint4*>(tile + y * TILE + x) = load_span(from + s64(y) * columns, x, valid, words);
    }
    __syncthreads();
    halve_down<TILE>(tile, spare, height, width, blockIdx.y, blockIdx.x, level, lines, columns, places, slot, levels);
}
