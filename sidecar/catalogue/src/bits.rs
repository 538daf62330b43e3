//! Sets of items as one bit an item.

/// Items in a word.
pub(crate) const WORD_ITEMS: usize = 64;

/// Number of words for this number of items.
pub(crate) fn words(items: usize) -> usize {
    items.div_ceil(WORD_ITEMS)
}

/// Bits of all items.
pub(crate) fn all(items: usize) -> Vec<u64> {
    let mut bits = vec![u64::MAX; words(items)];
    if let Some(last) = bits.last_mut() {
        *last &= tail(items);
    }
    bits
}

/// Whether no bit beyond the last item is set, and the number of words is that of the items.
pub(crate) fn is_valid(bits: &[u64], items: usize) -> bool {
    bits.len() == words(items) && bits.last().is_none_or(|last| last & !tail(items) == 0)
}

/// The bits of the last word that are items.
fn tail(items: usize) -> u64 {
    match items % WORD_ITEMS {
        0 => u64::MAX,
        rest => (1 << rest) - 1,
    }
}

pub(crate) fn contains(bits: &[u64], item: u32) -> bool {
    let item = item as usize;
    bits.get(item / WORD_ITEMS).is_some_and(|word| word >> (item % WORD_ITEMS) & 1 == 1)
}

/// Adds an item; no effect if it is out of range.
pub(crate) fn insert(bits: &mut [u64], item: u32) {
    let item = item as usize;
    if let Some(word) = bits.get_mut(item / WORD_ITEMS) {
        *word |= 1 << (item % WORD_ITEMS);
    }
}

/// The set of these items.
pub(crate) fn of(list: &[u32], items: usize) -> Vec<u64> {
    let mut bits = vec![0; words(items)];
    for item in list {
        insert(&mut bits, *item);
    }
    bits
}

/// Removes an item.
pub(crate) fn remove(bits: &mut [u64], item: u32) {
    let item = item as usize;
    if let Some(word) = bits.get_mut(item / WORD_ITEMS) {
        *word &= !(1 << (item % WORD_ITEMS));
    }
}

pub(crate) fn count(bits: &[u64]) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

/// Items of the set, ascending.
pub(crate) fn items(bits: &[u64]) -> impl Iterator<Item = u32> + '_ {
    (0_u32..).step_by(WORD_ITEMS).zip(bits).flat_map(|(first, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(first + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_items_that_were_added() {
        for len in [0, 1, 63, 64, 65, 200] {
            let everything = all(len);
            assert_eq!(items(&everything).collect::<Vec<_>>(), (0..u32::try_from(len).unwrap()).collect::<Vec<_>>());
            assert!(is_valid(&everything, len) && count(&everything) == len);
        }
        let mut bits = vec![0; words(130)];
        for item in [0, 63, 64, 129, 500] {
            insert(&mut bits, item);
        }
        remove(&mut bits, 63);
        assert_eq!(items(&bits).collect::<Vec<_>>(), [0, 64, 129]);
        assert!(contains(&bits, 64) && !contains(&bits, 63) && !contains(&bits, 500));
        assert!(is_valid(&bits, 130) && !is_valid(&bits, 129) && !is_valid(&bits, 200));
    }
}
