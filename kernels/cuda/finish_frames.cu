// After the pass: the shares of all blocks put together to one tally a frame, and the projections of each plane moved to
// their places. What the next launch raises again is left at zero. Grid (frames), block (256).

constexpr int FINISH_THREADS = 256;

struct Finished {
    Tally* tally;        // (frames,)
    u16* xz;             // (places, x')
    u16* yz;             // (places, y')
};

__device__ inline void move_row(u32* from, u16* to, int size) {
    for (int i = threadIdx.x; i < size; i += FINISH_THREADS) {
        to[i] = u16(from[i]);
        from[i] = 0;
    }
}

__global__ void __launch_bounds__(FINISH_THREADS)
finish_frames(const int* places, const Tally* shares, int blocks, u32* xz, u32* yz, int lines, int columns,
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
    move_row(xz + s64(frame) * columns, finished.xz + place * columns, columns);
    move_row(yz + s64(frame) * lines, finished.yz + place * lines, lines);
}
