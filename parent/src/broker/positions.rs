//! Where things stand in another list that differs from their own in few places, as configurations before and after a
//! reload do: what both begin and end with needs no search.

use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Positions in one list of the things of another one.
#[derive(Debug)]
pub(super) struct Positions<K, L> {
    list: L,
    list_len: usize,
    asked_len: usize,
    /// So many are the same at the beginning, and so many at the end.
    head: usize,
    tail: usize,
    /// The others, once one of them is asked for.
    middle: OnceCell<BTreeMap<K, usize>>,
}

impl<K, L> Positions<K, L>
where
    K: Ord,
    L: DoubleEndedIterator<Item = K> + ExactSizeIterator + Clone,
{
    /// To find the things of `asked` in `list`.
    pub(super) fn new<A>(list: L, asked: A) -> Self
    where
        A: DoubleEndedIterator<Item = K> + ExactSizeIterator + Clone,
    {
        let (list_len, asked_len) = (list.len(), asked.len());
        let head = list.clone().zip(asked.clone()).take_while(|(one, other)| one == other).count();
        let rest = list_len.min(asked_len).saturating_sub(head);
        let ends = list.clone().rev().zip(asked.rev()).take(rest);
        let tail = ends.take_while(|(one, other)| one == other).count();
        Self { list, list_len, asked_len, head, tail, middle: OnceCell::new() }
    }

    /// Where `key` stands, which has this position among those that are asked for.
    pub(super) fn find(&self, position: usize, key: &K) -> Option<u32> {
        let from_end = self.asked_len.saturating_sub(position);
        let found = if position < self.head {
            position
        } else if from_end <= self.tail {
            self.list_len.saturating_sub(from_end)
        } else {
            *self.middle.get_or_init(|| self.others()).get(key)?
        };
        u32::try_from(found).ok()
    }

    fn others(&self) -> BTreeMap<K, usize> {
        let count = self.list_len.saturating_sub(self.head).saturating_sub(self.tail);
        self.list.clone().zip(0..).skip(self.head).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each letter of `asked` stands in `list`, and how many of those had to be searched for among how many.
    fn found(list: &str, asked: &str) -> (Vec<Option<u32>>, Option<usize>) {
        let (list, asked) = (list.as_bytes(), asked.as_bytes());
        let positions = Positions::new(list.iter(), asked.iter());
        let all = asked.iter().enumerate().map(|(at, key)| positions.find(at, &key)).collect();
        (all, positions.middle.get().map(BTreeMap::len))
    }

    fn some(positions: &[u32]) -> Vec<Option<u32>> {
        positions.iter().copied().map(Some).collect()
    }

    #[test]
    fn what_comes_or_goes_in_one_place_needs_no_search() {
        assert_eq!(found("abcd", "abcd"), (some(&[0, 1, 2, 3]), None));
        assert_eq!(found("abcd", "acd"), (some(&[0, 2, 3]), None));
        assert_eq!(found("abcd", "bcd"), (some(&[1, 2, 3]), None));
        assert_eq!(found("abcd", "abc"), (some(&[0, 1, 2]), None));
        assert_eq!(found("abcd", "abxcd"), (vec![Some(0), Some(1), None, Some(2), Some(3)], Some(0)));
        assert_eq!(found("", ""), (vec![], None));
        assert_eq!(found("", "ab"), (vec![None, None], Some(0)));
    }

    #[test]
    fn only_what_has_moved_is_searched_for() {
        assert_eq!(found("abcdef", "adcbef"), (some(&[0, 3, 2, 1, 4, 5]), Some(3)));
        assert_eq!(found("abc", "cxa"), (vec![Some(2), None, Some(0)], Some(3)));
    }

    #[test]
    fn the_same_thing_twice_is_found_in_its_place() {
        assert_eq!(found("aab", "aab"), (some(&[0, 1, 2]), None));
        assert_eq!(found("aa", "a"), (some(&[0]), None));
    }
}
