// Eight neighbouring pixels of a row: 16 bytes, one access where the rows allow it.

constexpr int SPAN = 8;

// Pixels x to x + valid - 1 of a row, two in a word, the lower half first; those beyond are 0. Rows that may be read by
// words are whole numbers of spans and begin at a multiple of 16 bytes.
__device__ inline uint4 load_span(const u16* row, int x, int valid, bool words) {
    if (words) return *reinterpret_cast<const uint4*>(row + x);
    u32 count[SPAN];
#pragma unroll
    for (int i = 0; i < SPAN; ++i) count[i] = i < valid ? row[x + i] : 0;
    return uint4{count[0] | count[1] << 16, count[2] | count[3] << 16, count[4] | count[5] << 16,
                 count[6] | count[7] << 16};
}

__device__ inline void unpack(const uint4& span, u32 (&count)[SPAN]) {
    const u32 word[4] = {span.x, span.y, span.z, span.w};
#pragma unroll
    for (int i = 0; i < SPAN; ++i) count[i] = i % 2 ? word[i / 2] >> 16 : word[i / 2] & TOP;
}

// The same for a gain map of 16 or 32 bits.
template <class Gain>
__device__ inline void load_gains(const Gain* row, int x, int valid, bool words, u32 (&gain)[SPAN]) {
    if constexpr (sizeof(Gain) == 2) {
        unpack(load_span(row, x, valid, words), gain);
    } else if (words) {
        const uint4 low = *reinterpret_cast<const uint4*>(row + x), high = *reinterpret_cast<const uint4*>(row + x + 4);
        gain[0] = low.x, gain[1] = low.y, gain[2] = low.z, gain[3] = low.w;
        gain[4] = high.x, gain[5] = high.y, gain[6] = high.z, gain[7] = high.w;
    } else {
#pragma unroll
        for (int i = 0; i < SPAN; ++i) gain[i] = i < valid ? row[x + i] : 0;
    }
}

// Two, four or eight pixels of a product, two in each 32 bits, the lower half first: one access, too.
template <int CELLS> struct Word;
template <> struct Word<2> { using type = u32; };
template <> struct Word<4> { using type = uint2; };
template <> struct Word<8> { using type = uint4; };

template <int CELLS> union Cells {
    typename Word<CELLS>::type word;
    u32 pair[CELLS / 2];
    __device__ u32 get(int i) const { return i % 2 ? pair[i / 2] >> 16 : pair[i / 2] & TOP; }
};

template <int CELLS> __device__ inline Cells<CELLS> pack(const u32 (&cell)[CELLS]) {
    Cells<CELLS> packed;
#pragma unroll
    for (int i = 0; i < CELLS / 2; ++i) packed.pair[i] = cell[2 * i] | cell[2 * i + 1] << 16;
    return packed;
}

template <int CELLS> __device__ inline Cells<CELLS> load_cells(const u16* from, int valid, bool words) {
    Cells<CELLS> packed;
    if (words) {
        packed.word = *reinterpret_cast<const typename Word<CELLS>::type*>(from);
        return packed;
    }
    u32 cell[CELLS];
#pragma unroll
    for (int i = 0; i < CELLS; ++i) cell[i] = i < valid ? from[i] : 0;
    return pack(cell);
}

template <int CELLS> __device__ inline void store_cells(u16* to, int valid, bool words, const Cells<CELLS>& packed) {
    if (words) {
        *reinterpret_cast<typename Word<CELLS>::type*>(to) = packed.word;
        return;
    }
#pragma unroll
    for (int i = 0; i < CELLS; ++i)
        if (i < valid) to[i] = u16(packed.get(i));
}
