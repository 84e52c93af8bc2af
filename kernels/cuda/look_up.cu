// A table applied to every value: counts to codes, and codes to counts. Eight values a thread, in one access where the
// addresses allow it. Grid (ceil(size / 2048)), block (256).

template <class T> struct __align__(SPAN * sizeof(T)) Values {
    T value[SPAN];
};

template <class TAKEN, class GIVEN>
__global__ void __launch_bounds__(THREADS)
look_up(const GIVEN* __restrict__ table, const TAKEN* taken, s64 size, GIVEN* given) {
    const s64 at = SPAN * thread_of_launch();
    if (at >= size) return;
    if (at + SPAN <= size && begins_a_word(taken) && begins_a_word(given)) {
        const Values<TAKEN> from = *reinterpret_cast<const Values<TAKEN>*>(taken + at);
        Values<GIVEN> to;
#pragma unroll
        for (int i = 0; i < SPAN; ++i) to.value[i] = table[from.value[i]];
        *reinterpret_cast<Values<GIVEN>*>(given + at) = to;
    } else {
        for (s64 i = at; i < size && i < at + SPAN; ++i) given[i] = table[taken[i]];
    }
}
