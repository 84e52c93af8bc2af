// After the pass: the shares of all blocks put together to one tally a frame, and the projections of each plane moved to
// their places. What the next launch raises again is left at zero. Grid (frames), block (256).

constexpr int FINISH_THREADS = 256;

// Projections of each plane by what they are: largest, smallest, mean. Null where nobody asked.
struct Raised {
    u32* xz[3];          // (frames, x') each: largest, largest of 65535 - value, sum
    u32* yz[3];          // (frames, y') each
};

struct Finished {
    Tally* tally;        // (frames,)
    u16* xz[3];          // (places, x') each
    u16* yz[3];          // (places, y') each
};

// rint(total / count), halves to the even neighbour, for at most 65537 values.
__device__ inline u32 share_of(u32 total, u32 count) {
    const u32 quotient = total / count, twice = 2 * (total - quotient * count);
    return quotient + (twice > count || (twice == count && (quotient & 1)));
}

__device__ inline void move_rows(u32* const (&from)[3], u16* const (&to)[3], s64 frame, s64 place, int size, int count) {
    for (int kind = 0; kind < 3; ++kind) {
        if (!to[kind]) continue;
        for (int i = threadIdx.x; i < size; i += FINISH_THREADS) {
            u32* raised = from[kind] + frame * size + i;
            to[kind][place * size + i] = u16(kind == 0 ? *raised : kind == 1 ? TOP - *raised : share_of(*raised, count));
            *raised = 0;
        }
    }
}

__global__ void __launch_bounds__(FINISH_THREADS)
finish_frames(const int* places, const Tally* shares, int blocks, Raised raised, int lines, int columns,
              Finished finished) {
    __shared__ Tally tallies[FINISH_THREADS / WARP];
    const int frame = blockIdx.x, thread = threadIdx.x;
    const s64 place = places[frame];
    Tally tally = {};
    for (int i = thread; i < blocks; i += FINISH_THREADS) merge(tally, shares[s64(frame) * blocks + i]);
    tally.squares = warp_sum(tally.squares);
    tally.sum = warp_sum(tally.sum);
    tally.depth = warp_larger(tally.depth);
    tally.high = warp_larger(tally.high);
    tally.saturated = warp_sum(tally.saturated);
    if (thread % WARP == 0) tallies[thread / WARP] = tally;
    __syncthreads();
    if (thread == 0) {
        for (int r = 1; r < FINISH_THREADS / WARP; ++r) merge(tally, tallies[r]);
        finished.tally[frame] = tally;
    }
    move_rows(raised.xz, finished.xz, frame, place, columns, lines);
    move_rows(raised.yz, finished.yz, frame, place, lines, columns);
}
