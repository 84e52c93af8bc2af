// Calibration in fixed point, folded with binning and pedestal: the sum of a cell is
//     total = sum(gain * raw) + addend,    encoded as rint(total / 2^fraction / pixels),
// where addend = sum(pedestal - offset * gain) over the pixels of the cell. kernels/fixed_point.py chooses the fraction
// so that nothing can leave 62 bits, and says where this is exact.

struct Calibration {
    s64 gain;              // of every pixel, where it is a number; below 2^40
    s64 addend;            // of one pixel, where both are numbers; below 2^56
    const void* gains;     // (y, x), where the gain is a map of GAIN_BITS bits, else unused
    const void* addends;   // (y', x'), where offset or gain is a map: ADDEND_BITS bits, else unused
    int shift;             // by which a stored addend is shifted to the left
    int fraction;          // bits below the point
};

template <int BITS> struct Unsigned { using type = u16; };
template <> struct Unsigned<32> { using type = u32; };
template <int BITS> struct Signed { using type = int; };
template <> struct Signed<64> { using type = s64; };

template <int GAIN_BITS> __device__ inline s64 gain_at(const Calibration& c, s64 pixel) {
    if constexpr (GAIN_BITS == 0) return c.gain;
    else return static_cast<const typename Unsigned<GAIN_BITS>::type*>(c.gains)[pixel];
}

template <int ADDEND_BITS> __device__ inline s64 addend_at(const Calibration& c, s64 cell, u32 pixels) {
    if constexpr (ADDEND_BITS == 0) return c.addend * pixels;
    else return s64(u64(s64(static_cast<const typename Signed<ADDEND_BITS>::type*>(c.addends)[cell])) << c.shift);
}
