// Whole numbers only. No kernel of this folder knows a float: every device, and every order in which blocks happen to
// run, gives the same bits. The files are joined in one text by kernels/cuda_source.py; nothing is included.

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using s64 = long long;

constexpr u32 TOP = 65535;

__device__ inline u32 smaller(u32 a, u32 b) { return a < b ? a : b; }
__device__ inline u32 larger(u32 a, u32 b) { return a > b ? a : b; }
__device__ inline int shorter(int a, int b) { return a < b ? a : b; }
__device__ inline int halved(int size) { return (size + 1) / 2; }

// Bits below the point after `widen`: the most that leaves room for 2^20 counts, so that what follows is constant.
constexpr int BELOW = 42;

// The sum of a cell, from 0 to 16 * 65536 counts: what lies outside ends at 0 or TOP anyway. fraction is 0 to BELOW.
__device__ inline u64 widen(s64 total, int fraction) {
    const s64 most = s64(16 * (TOP + 1)) << fraction;
    const s64 inside = total < 0 ? 0 : total > most ? most : total;
    return u64(inside) << (BELOW - fraction);
}

// clip(rint(total / 2^fraction / PIXELS), 0, 65535), halves to the even neighbour, for 1, 4 or 16 pixels.
template <int PIXELS> __device__ inline u32 encode_whole(s64 total, int fraction) {
    static_assert(PIXELS == 1 || PIXELS == 4 || PIXELS == 16, "a whole cell");
    constexpr int shift = BELOW + (PIXELS == 1 ? 0 : PIXELS == 4 ? 2 : 4);
    const u64 sum = widen(total, fraction), odd = sum >> shift & 1u;
    return smaller(u32((sum + ((1ull << (shift - 1)) - 1) + odd) >> shift), TOP);
}

// The same for the cells of the last row and column, of any 1 to 16 pixels; the division is one of 32 bits.
__device__ inline u32 encode_part(s64 total, int fraction, u32 pixels) {
    const u64 sum = widen(total, fraction), one = u64(pixels) << BELOW;
    const u32 count = u32(sum >> BELOW), quotient = count / pixels;
    const u64 twice = (sum - (u64(quotient) * pixels << BELOW)) << 1;
    return smaller(quotient + (twice > one || (twice == one && (quotient & 1u))), TOP);
}
