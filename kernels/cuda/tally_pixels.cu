// Histogram, sums and ends of raw counts, added to a tally.
//
// A block counts in shared memory, in two histograms so that its warps meet less often, and adds what it counted to the
// tally once. Everything is whole numbers: the order in which blocks come does not matter. Grid (n), block (512), n free.

constexpr int BINS = 4096;
constexpr int HISTOGRAMS = 2;
constexpr int TALLY_THREADS = 512;

struct CountTally {
    u64 total, squares;
    u64 depth, high;  // 65535 - min, and max: all zeros is no pixel
    u64 bins[BINS];
};

// Neighbours are alike: a run of pixels of one bin is counted at once.
__device__ inline void count_bins(const u32 (&count)[SPAN], int valid, int shift, u32* bins) {
    u32 run = 0;
#pragma unroll
    for (int i = 0; i < SPAN; ++i) {
        if (i >= valid) break;
        const u32 bin = smaller(count[i] >> shift, BINS - 1);
        ++run;
        if (i + 1 < SPAN && i + 1 < valid && smaller(count[i + 1 < SPAN ? i + 1 : i] >> shift, BINS - 1) == bin) continue;
        atomicAdd(bins + bin, run);
        run = 0;
    }
}

__global__ void __launch_bounds__(TALLY_THREADS)
tally_pixels(const u16* pixels, s64 size, int shift, CountTally* tally) {
    __shared__ u32 counted[HISTOGRAMS * BINS];
    const int thread = threadIdx.x;
    for (int i = thread; i < HISTOGRAMS * BINS; i += TALLY_THREADS) counted[i] = 0;
    __syncthreads();

    u32* bins = counted + thread / WARP % HISTOGRAMS * BINS;
    const s64 spans = (size + SPAN - 1) / SPAN, step = s64(gridDim.x) * TALLY_THREADS;
    const bool words = begins_a_word(pixels);
    u64 total = 0, squares = 0;
    u32 depth = 0, high = 0;
    for (s64 i = thread_of_launch(); i < spans; i += step) {
        const int valid = i + 1 < spans ? SPAN : int(size - i * SPAN);
        u32 count[SPAN], sum = 0;
        unpack(load_span(pixels + i * SPAN, 0, valid, words && valid == SPAN), count);
#pragma unroll
        for (int j = 0; j < SPAN; ++j) {
            sum += count[j];
            squares += u64(count[j]) * count[j];
            high = larger(high, count[j]);
            if (j < valid) depth = larger(depth, TOP - count[j]);
        }
        total += sum;
        count_bins(count, valid, shift, bins);
    }

    total = block_sum(total);
    squares = block_sum(squares);
    depth = warp_larger(depth);
    high = warp_larger(high);
    if (thread == 0) {
        atomicAdd(&tally->total, total);
        atomicAdd(&tally->squares, squares);
    }
    if (thread % WARP == 0) {
        atomicMax(&tally->depth, u64(depth));
        atomicMax(&tally->high, u64(high));
    }
    // All have counted: the sums of the block waited for them.
    for (int i = thread; i < BINS; i += TALLY_THREADS) {
        const u32 both = counted[i] + counted[BINS + i];
        if (both) atomicAdd(tally->bins + i, u64(both));
    }
}
