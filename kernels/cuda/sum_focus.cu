// What the focus measures are made of, in whole numbers, added to six sums. A thread has eight neighbouring pixels and
// one more to their left and two to their right. Grid (ceil(width / 256), ceil(height / 8)), block (32, 8).

struct FocusSums {
    u64 total, squares;                // of all pixels
    u64 gradients;                     // Sobel, squared, at pixels with eight neighbours
    u64 apart;                         // differences of pixels two apart along x, squared
    u64 centre_total, centre_squares;  // of the pixels within the centre
};

constexpr int SEEN = SPAN + 3;

// Pixels x - 1 to x + 9 of a row; 0 where there are none.
__device__ inline void see(const u16* row, int x, int width, bool words, u32 (&count)[SEEN]) {
    u32 middle[SPAN];
    const int valid = shorter(SPAN, width - x);
    unpack(load_span(row, x, valid, words && valid == SPAN), middle);
    count[0] = x > 0 ? row[x - 1] : 0;
#pragma unroll
    for (int i = 0; i < SPAN; ++i) count[i + 1] = middle[i];
    count[SPAN + 1] = x + SPAN < width ? row[x + SPAN] : 0;
    count[SPAN + 2] = x + SPAN + 1 < width ? row[x + SPAN + 1] : 0;
}

__global__ void __launch_bounds__(256)
sum_focus(const u16* pixels, int height, int width, int top, int bottom, int left, int right, FocusSums* sums) {
    const int y = blockIdx.y * 8 + threadIdx.y, first = (blockIdx.x * WARP + threadIdx.x) * SPAN;
    const bool words = width % SPAN == 0 && begins_a_word(pixels);
    FocusSums own = {};
    if (y < height && first < width) {
        const u16* row = pixels + s64(y) * width;
        const bool between = y > 0 && y < height - 1;
        u32 count[SEEN], above[SEEN] = {}, below[SEEN] = {};
        see(row, first, width, words, count);
        if (between) {
            see(row - width, first, width, words, above);
            see(row + width, first, width, words, below);
        }
#pragma unroll
        for (int i = 1; i <= SPAN; ++i) {
            const int x = first + i - 1;
            const u64 square = u64(count[i]) * count[i];
            own.total += count[i];
            own.squares += square;
            if (y >= top && y < bottom && x >= left && x < right) {
                own.centre_total += count[i];
                own.centre_squares += square;
            }
            if (x + 2 < width) {
                const s64 step = s64(count[i + 2]) - s64(count[i]);
                own.apart += u64(step * step);
            }
            if (between && x > 0 && x < width - 1) {
                const int right_sum = int(above[i + 1] + below[i + 1] + 2 * count[i + 1]);
                const int left_sum = int(above[i - 1] + below[i - 1] + 2 * count[i - 1]);
                const int lower = int(below[i - 1] + 2 * below[i] + below[i + 1]);
                const int upper = int(above[i - 1] + 2 * above[i] + above[i + 1]);
                const s64 along = right_sum - left_sum, down = lower - upper;
                own.gradients += u64(along * along + down * down);
            }
        }
    }
    const u64 values[] = {own.total, own.squares, own.gradients, own.apart, own.centre_total, own.centre_squares};
    u64* const into[] = {&sums->total, &sums->squares,      &sums->gradients,
                         &sums->apart, &sums->centre_total, &sums->centre_squares};
#pragma unroll
    for (int i = 0; i < 6; ++i) {
        const u64 value = block_sum(values[i]);
        if (threadIdx.x == 0 && threadIdx.y == 0) atomicAdd(into[i], value);
    }
}
