//! Lines of the same source are one item with several references.

use std::collections::HashMap;
use std::hash::Hash;

/// One thing to be scored: a source and everything that counts as right for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<K, R> {
    /// What is translated.
    pub source: K,
    /// The outputs that are right, in the order of their lines.
    pub references: Vec<R>,
}

/// Groups `(source, reference)` lines by source, in the order in which the sources first appear.
///
/// The lines of a source need not be neighbours. A repeated reference is kept; it changes no score.
///
/// ```
/// let items = seqweave_metrics::group_references([("a", 1), ("b", 2), ("a", 3)]);
/// assert_eq!(items[0].references, [1, 3]);
/// assert_eq!(items[1].source, "b");
/// ```
pub fn group_references<K, R>(lines: impl IntoIterator<Item = (K, R)>) -> Vec<Item<K, R>>
where
    K: Eq + Hash + Clone,
{
    let mut items: Vec<Item<K, R>> = Vec::new();
    let mut position: HashMap<K, usize> = HashMap::new();
    for (source, reference) in lines {
        if let Some(&i) = position.get(&source) {
            items[i].references.push(reference);
        } else {
            position.insert(source.clone(), items.len());
            items.push(Item { source, references: vec![reference] });
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_of_first_appearance() {
        let items = group_references([("z", 'a'), ("y", 'b'), ("z", 'c'), ("x", 'd'), ("z", 'a')]);
        let got: Vec<_> = items.iter().map(|i| (i.source, i.references.iter().collect::<String>())).collect();
        assert_eq!(got, [("z", "aca".into()), ("y", "b".into()), ("x", "d".into())]);
        assert!(group_references::<&str, u8>([]).is_empty());
    }
}
