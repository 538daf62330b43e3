//! Re-ranking: one list of what the sources found. Scores of different sources are on different
//! scales, so the order of the sources decides between them.

use std::collections::HashSet;

use super::candidates::Candidate;

/// The lists one after the other; a row keeps its first place.
pub fn rerank(lists: Vec<Vec<Candidate>>) -> Vec<Candidate> {
    let mut lists = lists.into_iter();
    let mut ranked = lists.next().unwrap_or_default();
    // One list, which is the common case, has no duplicates.
    for list in lists {
        let listed: HashSet<u32> = ranked.iter().map(|candidate| candidate.row).collect();
        ranked.extend(list.into_iter().filter(|candidate| !listed.contains(&candidate.row)));
    }
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Source;

    #[test]
    fn an_earlier_source_comes_first_and_each_row_once() {
        let list = |source, rows: &[u32]| -> Vec<Candidate> {
            rows.iter().map(|row| Candidate { row: *row, score: 1.0, source }).collect()
        };
        let ranked = rerank(vec![list(Source::Model, &[4, 2]), list(Source::Popular, &[2, 9, 4, 1])]);
        let rows: Vec<(u32, Source)> = ranked.iter().map(|candidate| (candidate.row, candidate.source)).collect();
        assert_eq!(rows, [(4, Source::Model), (2, Source::Model), (9, Source::Popular), (1, Source::Popular)]);
        assert_eq!(rerank(Vec::new()), []);
    }
}
