//! Words and their counts.

use std::cmp::Reverse;
use std::collections::HashMap;

/// The words of one text.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<String, u64>);

impl Words {
    /// Counts the words of a text: its longest runs of letters, in lower case.
    pub(super) fn of(text: &str) -> Self {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for word in text.split(|character: char| !character.is_alphabetic()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        Words(counts)
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn distinct(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The words of many files.
#[derive(Debug, Default)]
pub(super) struct Index {
    words: HashMap<String, Count>,
    /// Files whose words are in the index.
    pub(super) files: u64,
    /// Files that are not UTF-8.
    pub(super) binary: u64,
    /// Files and directories that could not be read.
    pub(super) unreadable: u64,
    /// What is neither file nor directory, and files that are too large.
    pub(super) skipped: u64,
}

/// How often a word was found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) files: u64,
    pub(super) occurrences: u64,
}

impl Index {
    /// Adds the words of a file.
    pub(super) fn merge(&mut self, words: Words) {
        for (word, occurrences) in words.0 {
            let count = self.words.entry(word).or_default();
            count.files += 1;
            count.occurrences += occurrences;
        }
    }

    pub(super) fn distinct(&self) -> usize {
        self.words.len()
    }

    /// The number of words in all files together.
    pub(super) fn words(&self) -> u64 {
        self.words.values().map(|count| count.occurrences).sum()
    }

    /// The most frequent words of more than three letters; shorter ones say little about a text.
    pub(super) fn most_frequent(&self, most: usize) -> Vec<(&str, Count)> {
        let long = self.words.iter().filter(|(word, _)| word.chars().count() > 3);
        let mut words: Vec<_> = long.map(|(word, count)| (word.as_str(), *count)).collect();
        words.sort_by_key(|(word, count)| (Reverse(count.occurrences), *word));
        words.truncate(most);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_without_regard_to_case() {
        let words = Words::of("Größe, größe; x86_64 x");
        assert_eq!(words.0, HashMap::from([("größe".to_owned(), 2), ("x".to_owned(), 2)]));
        assert_eq!((words.total(), words.distinct()), (4, 2));
        assert_eq!(Words::of("").total(), 0);
    }

    #[test]
    fn the_most_frequent_come_first_and_short_ones_not_at_all() {
        let mut index = Index::default();
        index.merge(Words::of("span span tree the the the"));
        index.merge(Words::of("tree bark span"));
        let found = index.most_frequent(2);
        let count = |files, occurrences| Count { files, occurrences };
        assert_eq!(found, [("span", count(2, 3)), ("tree", count(2, 2))]);
        assert_eq!((index.distinct(), index.words()), (4, 9));
    }
}
