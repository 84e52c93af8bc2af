// Means over squares of pixels as float32, each rounded once; and the sum of all pixels, added to `total`.
//
// A sum is below 2^24, so it is exact in float32, and the division rounds once. Grid (ceil(columns / 32),
// ceil(lines / 8)), block (32, 8).

template <int SIDE> struct __align__(SIDE < SPAN ? SIDE * sizeof(u16) : 16) Part {
    u16 count[SIDE < SPAN ? SIDE : SPAN];
};

template <int SIDE>
__global__ void __launch_bounds__(256)
mean_cells(const u16* image, int height, int width, float* cells, u64* total) {
    constexpr int STEP = SIDE < SPAN ? SIDE : SPAN;
    const int lines = (height + SIDE - 1) / SIDE, columns = (width + SIDE - 1) / SIDE;
    const int y = blockIdx.y * 8 + threadIdx.y, x = blockIdx.x * WARP + threadIdx.x;
    u32 sum = 0;
    if (y < lines && x < columns) {
        const int rows = shorter(SIDE, height - y * SIDE), valid = shorter(SIDE, width - x * SIDE);
        const u16* row = image + s64(y) * SIDE * width + s64(x) * SIDE;
        const bool words = valid == SIDE && width % SIDE == 0 && begins_a_word(image);
        for (int r = 0; r < rows; ++r, row += width) {
            if (words) {
#pragma unroll
                for (int i = 0; i < SIDE; i += STEP) {
                    const Part<SIDE> part = *reinterpret_cast<const Part<SIDE>*>(row + i);
#pragma unroll
                    for (int j = 0; j < STEP; ++j) sum += part.count[j];
                }
            } else {
                for (int i = 0; i < valid; ++i) sum += row[i];
            }
        }
        cells[s64(y) * columns + x] = float(sum) / float(rows * valid);
    }
    const u64 all = block_sum(sum);
    if (threadIdx.x == 0 && threadIdx.y == 0) atomicAdd(total, all);
}
