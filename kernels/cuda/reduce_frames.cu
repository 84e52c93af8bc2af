// The one pass over raw frames: statistics, calibration, binning, encoding, hot pixels, projections.
//
// A thread has a span of eight raw pixels in each of FACTOR rows, hence 8 / FACTOR cells; a warp a row of cells; a block
// four rows. The block goes through all frames of the launch, so that the running maximum over z and the maps stay
// close: grid (ceil(width / 256), ceil(height' / 4)), block (32, 4).

constexpr int BLOCK_ROWS = 4;
constexpr int BLOCK_SPAN = WARP * SPAN;
constexpr int BLOCK_THREADS = WARP * BLOCK_ROWS;
constexpr int BLOCKS_RESIDENT = 5;  // on a multiprocessor: at most 96 registers a thread

// Raw counts in numbers; a block's share, or a whole frame's. `depth` is 65535 - min, so that all zeros is no pixel.
struct Tally {
    u64 squares, sum;
    u32 depth, high, saturated, unused;
};

struct Frames {
    const u16* raw;      // (frames, y, x)
    const int* place;    // (frames,) of each frame in the buffers of the block
    int count, height, width;
    int stack;           // consecutive places that share one projection over z
};

struct HotPlaces {
    const int* start;    // (blocks of the grid + 1,) where each block's cells begin
    const int* place;    // (cells,) row in the block * (256 / FACTOR) + column
    const u16* healed;   // (frames, cells)
    int cells;
};

struct Planes {
    u16* level0;         // (places, y', x')
    u16* xy;             // (stacks, y', x') raised
    u32* xz;             // (frames, x') raised
    u32* yz;             // (frames, y') raised
    Tally* tally;        // (frames, blocks of the grid) overwritten
};

template <bool WHOLE> __device__ inline void count_span(const u32 (&count)[SPAN], int valid, Tally& tally, u32& sum) {
#pragma unroll
    for (int i = 0; i < SPAN; ++i) {
        sum += count[i];
        tally.squares += u64(count[i]) * count[i];
        tally.high = larger(tally.high, count[i]);
        if (WHOLE || i < valid) tally.depth = larger(tally.depth, TOP - count[i]);
    }
}

__device__ inline u32 count_saturated(const uint4& span) {
    u32 count[SPAN], saturated = 0;
    unpack(span, count);
#pragma unroll
    for (int i = 0; i < SPAN; ++i) saturated += count[i] == TOP;
    return saturated;
}

__device__ inline Tally warp_tally(Tally tally, u32 sum) {
    tally.squares = warp_sum(tally.squares);
    tally.sum = warp_sum(sum);  // 32 threads of at most 32 pixels: below 2^32
    tally.depth = warp_larger(tally.depth);
    tally.high = warp_larger(tally.high);
    tally.saturated = tally.high == TOP ? warp_sum(tally.saturated) : 0;
    return tally;
}

__device__ inline void merge(Tally& into, const Tally& other) {
    into.squares += other.squares;
    into.sum += other.sum;
    into.depth = larger(into.depth, other.depth);
    into.high = larger(into.high, other.high);
    into.saturated += other.saturated;
}

// The sums of a thread's cells: rows of raw pixels that were loaded before, statistics on the way.
template <int FACTOR, int GAIN_BITS, int ADDEND_BITS>
__device__ inline void reduce_spans(const uint4 (&span)[FACTOR], const Calibration& calibration, int first, int width,
                                    int rows, int valid, bool words, int cell_place, u32 (&cell)[SPAN / FACTOR],
                                    Tally& tally, u32& sum) {
    constexpr int CELLS = SPAN / FACTOR;
    u32 counted[CELLS] = {};
    s64 total[CELLS] = {};
#pragma unroll
    for (int r = 0; r < FACTOR; ++r) {
        if (r >= rows) break;
        u32 count[SPAN];
        unpack(span[r], count);
        if (valid == SPAN) count_span<true>(count, valid, tally, sum);
        else count_span<false>(count, valid, tally, sum);
        if constexpr (GAIN_BITS == 0) {
#pragma unroll
            for (int i = 0; i < SPAN; ++i) counted[i / FACTOR] += count[i];
        } else {
            using Gain = typename Unsigned<GAIN_BITS>::type;
            u32 gain[SPAN];
            load_gains(static_cast<const Gain*>(calibration.gains) + first + r * width, 0, valid, words, gain);
#pragma unroll
            for (int i = 0; i < SPAN; ++i) total[i / FACTOR] += s64(u64(gain[i]) * count[i]);
        }
    }
    if (rows == FACTOR && valid == SPAN) {
#pragma unroll
        for (int i = 0; i < CELLS; ++i) {
            if constexpr (GAIN_BITS == 0) total[i] = calibration.gain * counted[i];
            total[i] += addend_at<ADDEND_BITS>(calibration, cell_place + i, FACTOR * FACTOR);
            cell[i] = encode_whole<FACTOR * FACTOR>(total[i], calibration.fraction);
        }
    } else {
#pragma unroll
        for (int i = 0; i < CELLS; ++i) {
            const int pixels = rows * shorter(FACTOR, valid - i * FACTOR);
            if (pixels <= 0) continue;
            if constexpr (GAIN_BITS == 0) total[i] = calibration.gain * counted[i];
            total[i] += addend_at<ADDEND_BITS>(calibration, cell_place + i, pixels);
            cell[i] = encode_part(total[i], calibration.fraction, pixels);
        }
    }
}

template <int FACTOR, int GAIN_BITS, int ADDEND_BITS>
__global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_RESIDENT)
reduce_frames(Frames frames, Calibration calibration, HotPlaces hot, Planes planes) {
    constexpr int CELLS = SPAN / FACTOR, COLUMNS = BLOCK_SPAN / FACTOR;
    __shared__ u16 tile[BLOCK_ROWS][COLUMNS];
    __shared__ Tally tallies[BLOCK_ROWS];
    const int lane = threadIdx.x, warp = threadIdx.y, thread = warp * WARP + lane, block_x = blockIdx.x * COLUMNS;
    const int grid_blocks = gridDim.x * gridDim.y, block = blockIdx.y * gridDim.x + blockIdx.x;
    const int columns = (frames.width + FACTOR - 1) / FACTOR, lines = (frames.height + FACTOR - 1) / FACTOR;
    const s64 plane = lines * columns, raw_plane = frames.height * frames.width;
    const int y = blockIdx.y * BLOCK_ROWS + warp, x = block_x + lane * CELLS;
    const int raw_x = x * FACTOR;
    int rows = shorter(FACTOR, frames.height - y * FACTOR), valid = shorter(SPAN, frames.width - raw_x);
    const int valid_cells = shorter(CELLS, columns - x);
    const bool inside = rows > 0 && valid > 0, words = frames.width % SPAN == 0;
    const int place = y * columns + x, first = y * FACTOR * frames.width + raw_x;  // a frame has fewer than 2^31 pixels
    const int hot_first = hot.cells ? hot.start[block] : 0, hot_last = hot.cells ? hot.start[block + 1] : 0;
    Cells<CELLS> kept = {};
    int stack = -1;

    for (int frame = 0; frame < frames.count; ++frame) {
        const int slot = frames.place[frame];
        Tally tally = {};
        u32 sum = 0, cell[CELLS] = {};
        // What follows from these two is cheap, and computed for each frame: kept through all frames it would spill.
        asm volatile("" : "+r"(rows), "+r"(valid));
        if (inside) {
            const u16* raw = frames.raw + frame * raw_plane + first;
            uint4 span[FACTOR];
#pragma unroll
            for (int r = 0; r < FACTOR; ++r)
                span[r] = r < rows ? load_span(raw + r * frames.width, 0, valid, words) : uint4{};
            reduce_spans<FACTOR, GAIN_BITS, ADDEND_BITS>(span, calibration, first, frames.width, rows, valid, words,
                                                         place, cell, tally, sum);
            if (tally.high == TOP) {
#pragma unroll
                for (int r = 0; r < FACTOR; ++r) tally.saturated += count_saturated(span[r]);
            }
        }
#pragma unroll
        for (int i = 0; i < CELLS; ++i) tile[warp][lane * CELLS + i] = u16(cell[i]);
        __syncthreads();
        if (hot_first < hot_last) {
            for (int i = hot_first + thread; i < hot_last; i += BLOCK_THREADS)
                tile[hot.place[i] / COLUMNS][hot.place[i] % COLUMNS] = hot.healed[s64(frame) * hot.cells + i];
            __syncthreads();
#pragma unroll
            for (int i = 0; i < CELLS; ++i) cell[i] = tile[warp][lane * CELLS + i];
        }

        u32 top = 0;
#pragma unroll
        for (int i = 0; i < CELLS; ++i) top = larger(top, cell[i]);
        top = warp_larger(top);
        if (lane == 0 && y < lines) atomicMax(planes.yz + s64(frame) * lines + y, top);
        if (inside) {
            store_cells(planes.level0 + slot * plane + place, valid_cells, words, pack(cell));
            if (slot / frames.stack != stack) {
                if (stack >= 0) store_cells(planes.xy + stack * plane + place, valid_cells, words, kept);
                stack = slot / frames.stack;
                kept = load_cells<CELLS>(planes.xy + stack * plane + place, valid_cells, words);
            }
#pragma unroll
            for (int i = 0; i < CELLS; ++i) cell[i] = larger(cell[i], kept.get(i));
            kept = pack(cell);
        }
        for (int i = thread; i < COLUMNS && block_x + i < columns; i += BLOCK_THREADS) {
            u32 most = 0;
#pragma unroll
            for (int r = 0; r < BLOCK_ROWS; ++r) most = larger(most, tile[r][i]);
            atomicMax(planes.xz + s64(frame) * columns + block_x + i, most);
        }

        tally = warp_tally(tally, sum);
        if (lane == 0) tallies[warp] = tally;
        __syncthreads();
        if (thread == 0) {
            for (int r = 1; r < BLOCK_ROWS; ++r) merge(tally, tallies[r]);
            planes.tally[s64(frame) * grid_blocks + block] = tally;
        }
    }
    if (inside && stack >= 0) store_cells(planes.xy + stack * plane + place, valid_cells, words, kept);
}
