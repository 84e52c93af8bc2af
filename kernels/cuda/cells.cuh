// Cells of raw pixels in whole numbers, for every binning that kernels/binning.py knows:
//     total = sum(weight * gain * raw) + addend,    of the largest: max(gain * raw + addend),
// encoded as rint(total / 2^fraction / weights), or rint(total / 2^fraction) where nothing is averaged. `plan_cell_point`
// in kernels/fixed_point.py chooses the fraction so that nothing leaves 62 bits.

enum Mode { MEAN, SUM, LARGEST, BINOMIAL };

struct CellCalibration {
    s64 gain;              // of every pixel, where it is a number
    s64 addend;            // of one pixel, where offset and gain are numbers
    s64 lift;              // of one cell
    const u32* gains;      // (y, x), where the gain is a map, else null
    const s64* addends;    // where offset or gain is a map, else null: (y', x'), of the largest (y, x)
    int fraction;          // bits below the point
};

template <int FACTOR, int MODE> constexpr int REACH_OF = MODE == BINOMIAL ? FACTOR - 1 : 0;  // beyond the cell, each way
template <int FACTOR, int MODE> constexpr int TAPS_OF = FACTOR + 2 * REACH_OF<FACTOR, MODE>;

__device__ inline int pairs(int n) { return n > 1 ? n * (n - 1) / 2 : 0; }

// Weight along one axis, k from 0: one, or FACTOR ones convolved with themselves twice.
template <int FACTOR, int MODE> __device__ inline u32 tap(int k) {
    if constexpr (MODE != BINOMIAL) return 1;
    else return pairs(k + 2) - 3 * pairs(k + 2 - FACTOR) + 3 * pairs(k + 2 - 2 * FACTOR);
}

// A sum without its addend; where the gain is a number it is still to be multiplied by it.
struct CellSum {
    s64 total;
    u32 weight;
};

// Adds one of the pixels that a cell reaches, if it is there.
template <int FACTOR, int MODE>
__device__ inline void add_tap(const u16* raw, int height, int width, const CellCalibration& c, int top, int left,
                               int down, int right, CellSum& sum) {
    const int y = top - REACH_OF<FACTOR, MODE> + down, x = left - REACH_OF<FACTOR, MODE> + right;
    if (y < 0 || y >= height || x < 0 || x >= width) return;
    const u32 weight = tap<FACTOR, MODE>(down) * tap<FACTOR, MODE>(right);
    const s64 at = s64(y) * width + x;
    sum.total += s64(weight) * (c.gains ? c.gains[at] : 1) * raw[at];
    sum.weight += weight;
}

__device__ inline s64 whole_sum(const CellSum& sum, const CellCalibration& c, s64 cell) {
    const s64 addend = c.addends ? c.addends[cell] : c.addend * sum.weight;
    return (c.gains ? sum.total : sum.total * c.gain) + addend + c.lift;
}

// clip(rint(total / 2^fraction / weight), 0, 65535), halves to the even neighbour.
__device__ inline u32 encode_total(s64 total, int fraction, u32 weight) {
    if (total <= 0) return 0;
    const u64 one = u64(weight) << fraction, quotient = u64(total) / one, twice = (u64(total) - quotient * one) << 1;
    return quotient >= TOP ? TOP : u32(quotient) + (twice > one || (twice == one && (quotient & 1)));
}

template <int MODE> __device__ inline u32 encode_cell(s64 total, int fraction, u32 weight) {
    return encode_total(total, fraction, MODE == MEAN || MODE == BINOMIAL ? weight : 1);
}
