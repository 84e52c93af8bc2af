// Values of the cells that hold listed hot pixels, each such pixel taking the median of its unlisted neighbours.
//
// One warp a cell and frame: grid (ceil(cells / 8), frames), block (32, 8). The lists are nested offsets, as in
// HotCells of kernels/hot_pixels.py: cell -> listed pixel -> donors, the pixel itself before its neighbours.

constexpr int HEAL_WARPS = 8;

struct HotCells {
    const int* place;         // (cells,) y' * width' + x'
    const int* pixel_start;   // (cells + 1,)
    const int* weight;        // (pixels,) of each listed pixel in its cell, where it is not 1 for all
    const int* donor_start;   // (pixels + 1,)
    const int* donor;         // (donors,) y * width + x in the raw frame
    const s64* gain;          // (donors,) calibration of each donor, fixed point
    const s64* subtrahend;    // (donors,) offset * gain
    int cells;
};

__device__ inline s64 donor_value(const u16* raw, const HotCells& hot, int i) {
    return hot.gain[i] * raw[hot.donor[i]] - hot.subtrahend[i];
}

// This thread's share of twice the median of donors first to first + count - 1: the two middle ones, one twice if they
// are odd in number. Ranks are counted, not sorted: of the usual eight that takes eight steps, and no array.
__device__ inline s64 share_of_medians(const u16* raw, const HotCells& hot, int first, int count) {
    s64 share = 0;
    for (int i = threadIdx.x; i < count; i += WARP) {
        const s64 own = donor_value(raw, hot, first + i);
        int rank = 0;
#pragma unroll 4
        for (int j = 0; j < count; ++j) {
            const s64 other = donor_value(raw, hot, first + j);
            rank += other < own || (other == own && j < i);
        }
        share += (rank == (count - 1) / 2) * own + (rank == count / 2) * own;
    }
    return share;
}

template <int FACTOR, int GAIN_BITS, int ADDEND_BITS>
__global__ void __launch_bounds__(WARP * HEAL_WARPS, 1)  // as many registers as it likes: left to itself it spills
heal_cells(const u16* raws, int height, int width, Calibration calibration, HotCells hot, u16* healed) {
    const int cell = blockIdx.x * HEAL_WARPS + threadIdx.y, lane = threadIdx.x;
    if (cell >= hot.cells) return;
    const u16* raw = raws + s64(blockIdx.y) * height * width;
    const int columns = (width + FACTOR - 1) / FACTOR, place = hot.place[cell];
    const int top = place / columns * FACTOR, left = place % columns * FACTOR;
    const int y = top + lane / FACTOR, x = left + lane % FACTOR;
    s64 twice = 0;
    if (lane < FACTOR * FACTOR && y < height && x < width) {
        const s64 at = s64(y) * width + x;
        twice = 2 * gain_at<GAIN_BITS>(calibration, at) * raw[at];
    }
    for (int pixel = hot.pixel_start[cell]; pixel < hot.pixel_start[cell + 1]; ++pixel) {
        const int own = hot.donor_start[pixel], count = hot.donor_start[pixel + 1] - own - 1;
        twice += share_of_medians(raw, hot, own + 1, count);
        if (lane == 0) twice -= 2 * donor_value(raw, hot, own);
    }
    twice = warp_sum(twice);
    if (lane == 0) {
        const u32 pixels = shorter(FACTOR, height - top) * shorter(FACTOR, width - left);
        twice += 2 * addend_at<ADDEND_BITS>(calibration, place, pixels);
        healed[s64(blockIdx.y) * hot.cells + cell] = u16(encode_part(twice, calibration.fraction + 1, pixels));
    }
}
