// The one pass over raw frames for recipes that `reduce_frames` does not do: any binning, any projections, the label of
// saturation. A thread has a cell, a warp 32 cells of a row, a block four rows: grid (ceil(x' / 32), ceil(y' / 4)), block
// (32, 4). What a recipe does not ask for is a null pointer, the same for all threads.

struct CellPlanes {
    u16* level0;      // (places, y', x')
    u8* mask;         // (places, y', x') whether a raw pixel of the cell is at `level` or above
    u16* xy_high;     // (stacks, y', x') raised
    u16* xy_depth;    // the same of 65535 - value: all zeros is no frame
    u32* xy_sum;      // (stacks, y', x') added to
    u32* xz[3];       // (frames, x') each: largest, largest of 65535 - value, sum; raised
    u32* yz[3];       // (frames, y') each
    Tally* tally;     // (frames, blocks of the grid) overwritten
    int level;
};

struct Place {
    int y, x, rows, valid;  // of the cell; raw rows and columns that it has
    s64 cell;
};

// Sum or largest of the raw pixels of a cell, encoded; statistics on the way.
template <int FACTOR, int MODE>
__device__ inline u32 reduce_cell(const u16* raw, int height, int width, const CellCalibration& calibration,
                                  const Place& place, Tally& tally, u32& sum) {
    const int top = place.y * FACTOR, left = place.x * FACTOR;
    const bool words = width % FACTOR == 0;
    CellSum own = {};
    s64 most = 0;
    for (int r = 0; r < place.rows; ++r) {
        const s64 first = s64(top + r) * width + left;
        u32 count[FACTOR];
        if constexpr (FACTOR == 1) {
            count[0] = raw[first];
        } else {
            const Cells<FACTOR> packed = load_cells<FACTOR>(raw + first, place.valid, words);
#pragma unroll
            for (int i = 0; i < FACTOR; ++i) count[i] = packed.get(i);
        }
#pragma unroll
        for (int i = 0; i < FACTOR; ++i) {
            if (i >= place.valid) break;
            sum += count[i];
            tally.squares += u64(count[i]) * count[i];
            tally.high = larger(tally.high, count[i]);
            tally.depth = larger(tally.depth, TOP - count[i]);
            tally.saturated += count[i] == TOP;
            const s64 gain = calibration.gains ? calibration.gains[first + i] : 1;
            if constexpr (MODE == LARGEST) {
                const s64 addend = calibration.addends ? calibration.addends[first + i] : calibration.addend;
                const s64 value = (calibration.gains ? gain : calibration.gain) * count[i] + addend;
                most = r + i == 0 || value > most ? value : most;
            } else if constexpr (MODE != BINOMIAL) {
                own.total += gain * count[i];
            }
        }
    }
    if constexpr (MODE == LARGEST) return encode_cell<MODE>(most + calibration.lift, calibration.fraction, 1);
    own.weight = place.rows * place.valid;
    if constexpr (MODE == BINOMIAL) {
        own = {};
        for (int down = 0; down < TAPS_OF<FACTOR, MODE>; ++down)
            for (int right = 0; right < TAPS_OF<FACTOR, MODE>; ++right)
                add_tap<FACTOR, MODE>(raw, height, width, calibration, top, left, down, right, own);
    }
    return encode_cell<MODE>(whole_sum(own, calibration, place.cell), calibration.fraction, own.weight);
}

// Raises the projections of a plane along one axis, from what some of its cells have.
__device__ inline void raise_line(u32* const (&line)[3], s64 at, u32 high, u32 depth, u32 sum) {
    if (line[0]) atomicMax(line[0] + at, high);
    if (line[1]) atomicMax(line[1] + at, depth);
    if (line[2]) atomicAdd(line[2] + at, sum);
}

template <int FACTOR, int MODE>
__global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_RESIDENT)  // left to itself it spills
reduce_cells(Frames frames, CellCalibration calibration, HotPlaces hot, CellPlanes planes) {
    __shared__ u16 tile[BLOCK_ROWS][WARP];
    __shared__ Tally tallies[BLOCK_ROWS];
    const int lane = threadIdx.x, warp = threadIdx.y, thread = warp * WARP + lane;
    const int grid_blocks = gridDim.x * gridDim.y, block = blockIdx.y * gridDim.x + blockIdx.x;
    const int columns = (frames.width + FACTOR - 1) / FACTOR, lines = (frames.height + FACTOR - 1) / FACTOR;
    const s64 plane = s64(lines) * columns, raw_plane = s64(frames.height) * frames.width;
    Place place = {int(blockIdx.y) * BLOCK_ROWS + warp, int(blockIdx.x) * WARP + lane, 0, 0, 0};
    const bool inside = place.y < lines && place.x < columns;
    place.rows = shorter(FACTOR, frames.height - place.y * FACTOR);
    place.valid = shorter(FACTOR, frames.width - place.x * FACTOR);
    place.cell = s64(place.y) * columns + place.x;
    const int rows_here = shorter(BLOCK_ROWS, lines - blockIdx.y * BLOCK_ROWS);
    const int hot_first = hot.cells ? hot.start[block] : 0, hot_last = hot.cells ? hot.start[block + 1] : 0;

    for (int frame = 0; frame < frames.count; ++frame) {
        const int slot = frames.place[frame];
        Tally tally = {};
        u32 sum = 0, cell = 0;
        if (inside)
            cell = reduce_cell<FACTOR, MODE>(frames.raw + frame * raw_plane, frames.height, frames.width, calibration,
                                             place, tally, sum);
        tile[warp][lane] = u16(cell);
        __syncthreads();
        if (hot_first < hot_last) {
            for (int i = hot_first + thread; i < hot_last; i += BLOCK_THREADS)
                tile[hot.place[i] / WARP][hot.place[i] % WARP] = hot.healed[s64(frame) * hot.cells + i];
            __syncthreads();
            cell = tile[warp][lane];
        }
        if (inside) {
            const s64 at = s64(slot) * plane + place.cell, view = s64(slot / frames.stack) * plane + place.cell;
            planes.level0[at] = u16(cell);
            if (planes.mask) planes.mask[at] = tally.high >= u32(planes.level);
            if (planes.xy_high) planes.xy_high[view] = u16(larger(planes.xy_high[view], cell));
            if (planes.xy_depth) planes.xy_depth[view] = u16(larger(planes.xy_depth[view], TOP - cell));
            if (planes.xy_sum) planes.xy_sum[view] += cell;
        }
        if (planes.yz[0] || planes.yz[1] || planes.yz[2]) {
            const u32 high = warp_larger(cell), depth = warp_larger(inside ? TOP - cell : 0), all = warp_sum(cell);
            if (lane == 0 && place.y < lines) raise_line(planes.yz, s64(frame) * lines + place.y, high, depth, all);
        }
        if (warp == 0 && inside) {
            u32 high = 0, depth = 0, all = 0;
            for (int r = 0; r < rows_here; ++r) {
                high = larger(high, tile[r][lane]);
                depth = larger(depth, TOP - tile[r][lane]);
                all += tile[r][lane];
            }
            raise_line(planes.xz, s64(frame) * columns + place.x, high, depth, all);
        }
        tally = warp_tally(tally, sum);
        if (lane == 0) tallies[warp] = tally;
        __syncthreads();
        if (thread == 0) {
            for (int r = 1; r < BLOCK_ROWS; ++r) merge(tally, tallies[r]);
            planes.tally[s64(frame) * grid_blocks + block] = tally;
        }
    }
}

// Values of the cells that hold listed hot pixels, as `heal_cells`, with the weights of every binning. Where a cell is
// the largest of its pixels all of them are listed, the good ones as their own neighbours: nothing can be taken out of it.
template <int FACTOR, int MODE>
__global__ void __launch_bounds__(WARP * HEAL_WARPS, 1)
heal_any_cells(const u16* raws, int height, int width, CellCalibration calibration, HotCells hot, u16* healed) {
    const int cell = blockIdx.x * HEAL_WARPS + threadIdx.y, lane = threadIdx.x;
    if (cell >= hot.cells) return;
    const u16* raw = raws + s64(blockIdx.y) * height * width;
    const int columns = (width + FACTOR - 1) / FACTOR, place = hot.place[cell];
    const int top = place / columns * FACTOR, left = place % columns * FACTOR;
    CellSum own = {};
    s64 twice = 0;
    if constexpr (MODE != LARGEST) {
        constexpr int TAPS = TAPS_OF<FACTOR, MODE>;
        for (int i = lane; i < TAPS * TAPS; i += WARP)
            add_tap<FACTOR, MODE>(raw, height, width, calibration, top, left, i / TAPS, i % TAPS, own);
        own.weight = warp_sum(own.weight);
        own.total = warp_sum(own.total);
    }
    for (int pixel = hot.pixel_start[cell]; pixel < hot.pixel_start[cell + 1]; ++pixel) {
        const int first = hot.donor_start[pixel], count = hot.donor_start[pixel + 1] - first - 1;
        const s64 median = warp_sum(share_of_medians(raw, hot, first + 1, count));
        if constexpr (MODE == LARGEST) twice = pixel == hot.pixel_start[cell] || median > twice ? median : twice;
        else twice += hot.weight[pixel] * (median - 2 * donor_value(raw, hot, first));
    }
    if (lane) return;
    twice += 2 * (MODE == LARGEST ? calibration.lift : whole_sum(own, calibration, place));
    healed[s64(blockIdx.y) * hot.cells + cell] = u16(encode_cell<MODE>(twice, calibration.fraction + 1, own.weight));
}
