//! How content is cut into parts: pure.

use std::ops::Range;

const MIB: u64 = 1024 * 1024;

/// Content up to this size goes in one piece, and larger content in parts of at least this size.
pub(super) const PART_BYTES: u64 = 16 * MIB;
/// What S3 and all that speak its protocol take of one object.
const MAX_PARTS: u64 = 10_000;
/// MiB of parts, of all uploads together, that may be in memory. One larger part gets all of it for itself.
pub(super) const MEMORY_MIB: usize = 48;

/// The size of all parts but the last one.
pub(super) fn part_bytes(len: u64) -> u64 {
    len.div_ceil(MAX_PARTS)
        .next_multiple_of(MIB)
        .max(PART_BYTES)
}

/// The parts of content of this size, one after the other.
pub(super) fn parts(len: u64) -> impl Iterator<Item = Range<u64>> {
    let size = part_bytes(len);
    (0..len.div_ceil(size)).map(move |part| part * size..len.min((part + 1) * size))
}

/// How much of the memory a part takes.
pub(super) fn memory_mib(part: &Range<u64>) -> u32 {
    let mib = (part.end - part.start).div_ceil(MIB).max(1);
    let most = u32::try_from(MEMORY_MIB).expect("48");
    u32::try_from(mib).map_or(most, |mib| mib.min(most))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIB: u64 = 1024 * 1024 * MIB;

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice() {
        assert_eq!(part_bytes(1), PART_BYTES);
        assert_eq!(part_bytes(MAX_PARTS * PART_BYTES), PART_BYTES);
        assert_eq!(part_bytes(MAX_PARTS * PART_BYTES + 1), 17 * MIB);
        assert_eq!(part_bytes(5 * TIB), 525 * MIB);
        assert_eq!(parts(5 * TIB).count(), 9987);
    }

    #[test]
    fn memory_is_never_asked_for_more_than_there_is() {
        assert_eq!(memory_mib(&(0..1)), 1);
        assert_eq!(memory_mib(&(0..PART_BYTES)), 16);
        assert_eq!(memory_mib(&(0..525 * MIB)), 48);
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_content_in_order(len in 1..=5 * TIB) {
            let size = part_bytes(len);
            prop_assert!(size >= PART_BYTES && size.is_multiple_of(MIB));
            let parts: Vec<_> = parts(len).collect();
            prop_assert!(parts.len() as u64 <= MAX_PARTS);
            let mut end = 0;
            for (index, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.start, end);
                prop_assert!(part.end - part.start == size || index + 1 == parts.len());
                prop_assert!(part.start < part.end);
                end = part.end;
            }
            prop_assert_eq!(end, len);
        }
    }
}
